/* Dropout: random numbers are computed for 64 columns of a row at a time, and used one vector at a time. */
#include "vec.h"
#include "kernels/vector/philox_vectors.h"

_Static_assert(PHILOX_COLUMNS % VEC == 0, "the numbers of a group fill whole vectors");

/* One vector at x: multiplies the kept lanes by scale, and sets the other lanes to zero. */
static ALWAYS_INLINE void keep(vmask kept, vec scale, stored *x) {
    vstore(x, vselect(kept, vmul(scale, vload(x)), vzero()));
}

void BPK_NAME(dropout)(const bpk_dropout_args *args) {
    const uint32_t threshold = philox_threshold(args->probability);
    const vec scale = vset1((real)(1 / (1 - args->probability)));
    philox_place at = {.key = args->key, .batch = args->batch, .layer = args->layer};
    uint32_t numbers[PHILOX_COLUMNS];
    for (ptrdiff_t row = args->from; row < args->to; row++) {
        at.row = (uint32_t)(args->first + row);
        for (ptrdiff_t block = 0, width; block < args->n; block += width) {
            width = width_of_block(args->n - block, VEC, TILE_VECS * VEC);
            for (ptrdiff_t j = block; j < block + width && j < args->n; j += VEC) {
                ptrdiff_t place = block * args->rows + row * width + j - block;
                if (j % PHILOX_COLUMNS == 0) philox_vectors(&at, (uint32_t)(j / PHILOX_COLUMNS), numbers);
                vmask kept = vnot_below(numbers + j % PHILOX_COLUMNS, threshold);
                keep(kept, scale, (stored *)args->a + place);
                if (args->slope) keep(kept, scale, (stored *)args->slope + place);
                if (args->difference) keep(kept, scale, (stored *)args->difference + place);
            }
        }
    }
}
