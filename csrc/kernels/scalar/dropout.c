/* Dropout, one element at a time. */
#include "kernels/philox.h"
#include "vec.h"

static uint32_t number_of(philox_place at, ptrdiff_t row, ptrdiff_t column) {
    uint32_t numbers[PHILOX_COLUMNS];
    at.row = (uint32_t)row;
    philox(&at, (uint32_t)(column / PHILOX_COLUMNS), numbers);
    return numbers[column % PHILOX_COLUMNS];
}

void BPK_NAME(dropout)(const bpk_dropout_args *args) {
    const philox_place at = {.key = args->key, .batch = args->batch, .layer = args->layer};
    stored *matrices[] = {args->a, args->slope, args->difference}; /* (.., n) in blocks of `rows` rows */
    for (ptrdiff_t i = args->from; i < args->to; i++)
        for (ptrdiff_t j = 0; j < args->n; j++) {
            int kept = number_of(at, args->first + i, j) >= philox_threshold(args->probability);
            real factor = kept ? (real)(1 / (1 - args->probability)) : 0;
            const ptrdiff_t at = place(args->rows, i, j);
            for (int k = 0; k < 3; k++)
                if (matrices[k]) matrices[k][at] = kept ? matrices[k][at] * factor : 0;
        }
}
