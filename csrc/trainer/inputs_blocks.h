/* Columns of the matrices of the input stage, in blocks, for both of its halves. Defined here. */
#ifndef BPK_INPUTS_BLOCKS_H
#define BPK_INPUTS_BLOCKS_H

#include "trainer/inputs.h"
#include "trainer/products.h"

/* A place in a matrix in blocks: element (0, j), the width of its block, and the columns from j to its end,
 * without padding. */
typedef struct {
    ptrdiff_t place, width, left;
} columns_of_block;

static inline columns_of_block block_at(const step *s, ptrdiff_t columns, ptrdiff_t j) {
    ptrdiff_t block = 0, width;
    while (block + (width = block_width(s->net->kernels, columns - block)) <= j) block += width;
    return (columns_of_block){block * s->rows + j - block, width, smaller(block + width, columns) - j};
}

/* Rows whose numbers are embedded at once, in a scratch of (width + 1, PIECE_ROWS): the column itself, the
 * outputs of the linear map, and backward the derivative by the column. */
enum { PIECE_ROWS = 256 };

static inline void *own_scratch(const step *s) {
    return element(s->net->kernels, s->ws->input_scratch, s->me.index * inputs_scratch(s->net->inputs));
}

/* The matrix before the factors. */
static inline void *inputs_embedded(const step *s) {
    const net_inputs *inputs = s->net->inputs;
    if (inputs->factors < 0) return s->ws->x[s->turn];
    return inputs->embeds ? s->ws->embedded : s->ws->gathered;
}

/* x (m) = rows `from` to `from` + m of a gathered column. */
static inline void gathered_column(const step *s, ptrdiff_t column, ptrdiff_t from, ptrdiff_t m, void *x) {
    const bpk_kernels *kernels = s->net->kernels;
    const columns_of_block c = block_at(s, s->net->inputs->columns, column);
    kernels->transpose(m, 1, element(kernels, s->ws->gathered, c.place + from * c.width), c.width, x,
                       PIECE_ROWS);
}

/* n columns from `column` on of a matrix (.., width) in blocks, rows `from` to `from` + m, to scratch (n, m),
 * or back. */
static inline void blocks_to_scratch(const step *s, const void *blocks, ptrdiff_t column, ptrdiff_t n,
                                     ptrdiff_t from, ptrdiff_t m, void *scratch) {
    const bpk_kernels *kernels = s->net->kernels;
    for (ptrdiff_t j = 0, some; j < n; j += some) {
        const columns_of_block c = block_at(s, s->net->inputs->width, column + j);
        some = smaller(c.left, n - j);
        kernels->transpose(m, some, element(kernels, blocks, c.place + from * c.width), c.width,
                           element(kernels, scratch, j * PIECE_ROWS), PIECE_ROWS);
    }
}

static inline void scratch_to_blocks(const step *s, const void *scratch, ptrdiff_t column, ptrdiff_t n,
                                     ptrdiff_t from, ptrdiff_t m, void *blocks) {
    const bpk_kernels *kernels = s->net->kernels;
    for (ptrdiff_t j = 0, some; j < n; j += some) {
        const columns_of_block c = block_at(s, s->net->inputs->width, column + j);
        some = smaller(c.left, n - j);
        kernels->transpose(some, m, element(kernels, scratch, j * PIECE_ROWS), PIECE_ROWS,
                           element(kernels, blocks, c.place + from * c.width), c.width);
    }
}

/* The arguments of `periodic` for a piece, without m; `values` are the parameters of the stage. */
static inline bpk_periodic_args periodic_args(const bpk_net *net, const input_piece *piece,
                                              const void *values, const void *x, void *linear) {
    const bpk_kernels *kernels = net->kernels;
    return (bpk_periodic_args){.hidden = piece->hidden,
                               .n = piece->width - 1,
                               .x = x,
                               .w = element(kernels, values, piece->w),
                               .b = element(kernels, values, piece->b),
                               .w2 = element(kernels, values, piece->w2),
                               .b2 = element(kernels, values, piece->b2),
                               .out = linear,
                               .ldo = PIECE_ROWS};
}

#endif
