/* Parameters that are no layer's weights or biases. Among them are the shares of activations, mix in
 * a = z + mix (s(z) - z), which step.c computes after the product. Defined in extra.c. */
#ifndef BPK_EXTRA_H
#define BPK_EXTRA_H

#include "trainer/step.h"

/* Columns j to j + n of a matrix in blocks; place: the element (0, j). All are in a block of this width, or
 * the matrix has a single row, whose blocks are adjacent. */
typedef struct {
    ptrdiff_t j, n, width, place;
} mixed_columns;

/* Columns of the delta of layer l, which hold the derivative of the loss with respect to its activations: the
 * gradients of their mix move it, or their stored gradients unless `gradients` is NULL; then they are
 * multiplied by the derivatives of the activations with respect to z. */
void mix_backward(const step *step, int l, const mixed_columns *columns, const bpk_move *move,
                  void *gradients, void *const stores[BPK_STATES]);

#endif
