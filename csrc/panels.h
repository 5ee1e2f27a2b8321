/* How the trainer stores a weight matrix, and products with it.
 *
 * W (out, in) is kept transposed, in panels: the columns of W' (in, out) are cut into blocks at most
 * kernels->panel wide, each stored by itself as `in` rows of its width, one block after the other. Forward
 * then reads a panel as its right matrix and update writes it as its result, both in the order of memory and
 * neither with a transpose. The last panel is padded to whole vectors with zeros, which stay zero: the deltas
 * of columns that do not exist are zero too.
 */
#ifndef BPK_PANELS_H
#define BPK_PANELS_H

#include "kernels.h"

/* The width of the next panel with `left` columns to go. A last panel of one vector would keep too few
 * accumulators busy, so the last two share what would leave one. */
ptrdiff_t panel_width(const bpk_kernels *kernels, ptrdiff_t left);

/* n rounded up to whole vectors. The panels of W take padded(out) * in elements. */
ptrdiff_t padded(const bpk_kernels *kernels, ptrdiff_t n);

/* Plain w (out, in) to panels and back. Packing leaves the padding alone. */
void panels_pack(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const void *w, ptrdiff_t ldw,
                 void *panels);
void panels_unpack(const bpk_kernels *kernels, ptrdiff_t in, ptrdiff_t out, const void *panels, void *w,
                   ptrdiff_t ldw);

/* a (n, out) = s(x (n, in) W' + b); a is written `width` columns wide, which is out or padded(out). */
void panels_forward(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t width, const void *x,
                    ptrdiff_t ldx, const void *panels, const void *b, bpk_activation activation, void *a,
                    ptrdiff_t lda);

/* W by SGD along delta (n, padded(out))' x (n, in); velocity is in panels too, or NULL. */
void panels_update(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t width, const void *x,
                   ptrdiff_t ldx, const void *delta, ptrdiff_t ldd, void *panels, void *velocity,
                   const bpk_sgd *sgd);

/* Plain matrices, by blocks of columns. */
void rows_delta(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, const void *delta_next,
                ptrdiff_t ldn, const void *w, ptrdiff_t ldw, const void *a, ptrdiff_t lda,
                bpk_activation activation, void *delta, ptrdiff_t ldd);
void rows_update(const bpk_kernels *kernels, ptrdiff_t n, ptrdiff_t in, ptrdiff_t out, const void *x,
                 ptrdiff_t ldx, const void *delta, ptrdiff_t ldd, void *w, ptrdiff_t ldw, void *velocity,
                 ptrdiff_t ldv, const bpk_sgd *sgd);

/* Element `i` of an array of reals. */
static inline void *element(const bpk_kernels *kernels, const void *base, ptrdiff_t i) {
    return (char *)base + i * (ptrdiff_t)kernels->real_size;
}

#endif
