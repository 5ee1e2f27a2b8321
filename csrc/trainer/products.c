/* Products of whole matrices, divided into the blocks that kernels take. */
#include "trainer/products.h"

#include <string.h>

#include "kernels/bfloat16.h"
#include "platform/caches.h"

/* Fewer rows would not pay for reading, and for delta transposing, the right matrix. */
enum { FEW_ROWS = 128 };

static void measure(const bpk_kernels *kernels, part *part) {
    ptrdiff_t rows = part->rows - part->row, left = part->columns - part->k;
    part->height = smaller(rows, part->most_rows);
    part->depth = part_depth(kernels, left, part->most_depth);
}

part first_part(const bpk_kernels *kernels, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t depth) {
    ptrdiff_t most = second_level_cache() / 2 / (depth * (ptrdiff_t)kernels->real_size);
    part first = {.rows = rows, .columns = columns, .most_rows = larger(most, FEW_ROWS), .most_depth = depth};
    measure(kernels, &first);
    return first;
}

int next_part(const bpk_kernels *kernels, part *part) {
    part->k += part->depth;
    if (part->k >= part->columns) {
        part->k = 0;
        part->row += part->height;
    }
    measure(kernels, part);
    return part->height > 0;
}

ptrdiff_t count_blocks(const bpk_kernels *kernels, ptrdiff_t columns) {
    ptrdiff_t blocks = 0;
    for (ptrdiff_t j = 0; j < columns; j += block_width(kernels, columns - j)) blocks++;
    return blocks;
}

void pack_weights(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const void *w, ptrdiff_t ldw,
                  void *blocks) {
    for (ptrdiff_t j = 0, width; j < out; j += width) {
        width = block_width(kernels, out - j);
        kernels->transpose(smaller(width, out - j), in, element(kernels, w, j * ldw), ldw,
                           element(kernels, blocks, j * in), width);
    }
}

void unpack_weights(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const void *blocks, void *w,
                    ptrdiff_t ldw) {
    for (ptrdiff_t j = 0, width; j < out; j += width) {
        width = block_width(kernels, out - j);
        kernels->transpose(in, smaller(width, out - j), element(kernels, blocks, j * in), width,
                           element(kernels, w, j * ldw), ldw);
    }
}

void row_of_blocks(const bpk_kernels *kernels, const void *blocks, ptrdiff_t rows, ptrdiff_t columns,
                   ptrdiff_t row, void *plain) {
    for (ptrdiff_t j = 0, width; j < columns; j += width) {
        width = block_width(kernels, columns - j);
        memcpy(element(kernels, plain, j), element(kernels, blocks, j * rows + row * width),
               (size_t)smaller(width, columns - j) * kernels->real_size);
    }
}

void unpack_rows(const bpk_kernels *kernels, ptrdiff_t rows, ptrdiff_t columns, const void *blocks,
                 void *plain) {
    for (ptrdiff_t i = 0; i < rows; i++)
        row_of_blocks(kernels, blocks, rows, columns, i, element(kernels, plain, i * columns));
}

/* The products of all rows: w has `w_rows` rows, each of which holds `terms` terms of a sum. Members share
 * the rows of all blocks of a, counted block after block: row i of block c is c n + i. */
static void blocks_product(void (*kernel)(const bpk_forward_args *args), ptrdiff_t w_rows, ptrdiff_t terms,
                           const bpk_kernels *kernels, member me, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                           const bpk_left *x, const void *w, const void *b, bpk_activation activation,
                           void *a, ptrdiff_t a_rows, ptrdiff_t lda) {
    ptrdiff_t first, last;
    team_share(me, count_blocks(kernels, out) * n, 1, &first, &last);
    part p = first_part(kernels, n, in, kernels->depth);
    do {
        bpk_forward_args args = {.k = p.depth, .resume = p.k > 0, .x = left_columns(kernels, *x, p.k)};
        args.activation = p.k + p.depth == in ? activation : BPK_IDENTITY;
        ptrdiff_t from = first, to = last;
        for (ptrdiff_t j = 0, width; j < out; j += width, from -= n, to -= n) {
            width = block_width(kernels, out - j);
            args.from = larger(from, p.row);
            args.to = smaller(to, p.row + p.height);
            if (args.from >= args.to) continue;
            if (team_stopped(me)) return;
            args.n = width;
            args.filled = smaller(width, out - j);
            args.w = element(kernels, w, j * w_rows + p.k / terms * width);
            args.ldw = width;
            args.b = b ? element(kernels, b, j) : NULL;
            args.a = element(kernels, a, a_rows ? j * a_rows : j);
            args.lda = a_rows ? width : lda;
            kernel(&args);
        }
    } while (next_part(kernels, &p));
}

void forward_product(const bpk_kernels *kernels, member me, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                     const bpk_left *x, const void *w, const void *b, bpk_activation activation, void *a,
                     ptrdiff_t a_rows, ptrdiff_t lda) {
    blocks_product(kernels->forward, in, 1, kernels, me, n, in, out, x, w, b, activation, a, a_rows, lda);
}

void pairs_product(const bpk_kernels *kernels, member me, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                   const bpk_left *x, const void *w, const void *b, bpk_activation activation, void *a,
                   ptrdiff_t a_rows, ptrdiff_t lda) {
    blocks_product(kernels->forward_pairs, rows_of_pairs(in), 2, kernels, me, n, in, out, x, w, b, activation,
                   a, a_rows, lda);
}

/* The column at which block `count` of a matrix begins; its last column if it has no more blocks. */
static ptrdiff_t columns_of_blocks(const bpk_kernels *kernels, ptrdiff_t columns, ptrdiff_t count) {
    ptrdiff_t j = 0;
    for (; count > 0 && j < columns; count--) j += block_width(kernels, columns - j);
    return j;
}

/* Members share the blocks, and compute so many between two calls of team_stopped. */
enum { MANY_BLOCKS = 64 };

void row_product(const bpk_kernels *kernels, member me, ptrdiff_t in, ptrdiff_t out, const void *x,
                 const void *w, int pairs, const void *b, bpk_activation activation, void *a) {
    void (*kernel)(const bpk_row_args *args) = pairs ? kernels->forward_row_pairs : kernels->forward_row;
    bpk_row_args args = {.n = out, .k = in, .x = x, .w = w, .b = b, .activation = activation, .a = a};
    ptrdiff_t first = 0, last = 0;
    team_share(me, count_blocks(kernels, out), 1, &first, &last);
    for (; first < last && !team_stopped(me); first += MANY_BLOCKS) {
        args.from = columns_of_blocks(kernels, out, first);
        args.to = columns_of_blocks(kernels, out, smaller(first + MANY_BLOCKS, last));
        kernel(&args);
    }
}

void forward_narrow(const bpk_kernels *kernels, member me, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out,
                    const void *x, ptrdiff_t x_rows, const void *w, const void *b, bpk_activation activation,
                    void *a, ptrdiff_t lda) {
    bpk_dot_args args = {
        .n = out, .k = in, .x = x, .x_rows = x_rows, .w = w, .w_rows = out, .b = b, .sums = a, .lds = lda};
    ptrdiff_t from, to;
    team_share(me, n, 1, &from, &to);
    for (; from < to && !team_stopped(me); from = args.to) {
        args.from = from;
        args.to = smaller(from + MANY_ROWS, to);
        kernels->dot(&args);
        kernels->activate(activation, args.to - from, out, element(kernels, a, from * lda), lda);
    }
}
