/* The scratch memory of a step. Defined in workspace.c. */
#ifndef BPK_WORKSPACE_H
#define BPK_WORKSPACE_H

#include "trainer/net.h"

/* Activations and deltas are (rows, width of the layer), in blocks as high as the batch of the call; the last
 * layer's activations and their derivative by the loss are plain. */
struct bpk_workspace {
    ptrdiff_t rows;   /* capacity in rows */
    ptrdiff_t height; /* block height whose delta padding is currently zeroed */
    int threads;
    void *memory;
    void *x;         /* (rows, first layer) in blocks: the mini-batch */
    int64_t *labels; /* (rows,) */
    void *targets;   /* (rows, width of the last layer), plain */
    void *out_delta; /* (rows, width of the last layer), plain: the last delta from the loss; NULL if one
                        block */
    double *scale, *row_weight, *row_loss, *row_accuracy; /* (rows,) */
    double *sums;          /* (count_chunks(net),) partial sums over the parameters */
    void *gradients;       /* stored gradients, laid out like the parameters; or NULL */
    void *x_delta;         /* (rows, first layer) in blocks: the derivative of the loss by x; or NULL */
    ptrdiff_t *bad;        /* (threads,) the first bad row that each has found, or -1 */
    void *rows_of_threads; /* (threads, row_size): a row during its conversion */
    void *strips;          /* (threads, strip_size): some rows of W, transposed, for delta */
    ptrdiff_t row_size, strip_size;
    struct {
        void *a, *delta; /* delta in training only; the last layer's a is plain */
        void *slope;     /* in training, if `keeps_slope`: the derivative of a, stored like a */
    } layers[];
};

/* Sets the block height. The padding of deltas lies elsewhere in blocks of another height, and is zeroed. */
void workspace_set_height(const bpk_net *net, bpk_workspace *ws, ptrdiff_t height);

#endif
