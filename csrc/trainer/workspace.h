/* The scratch memory of a step. Defined in workspace.c. */
#ifndef BPK_WORKSPACE_H
#define BPK_WORKSPACE_H

#include "trainer/net.h"

/* Activations and deltas are (rows, width of the layer), in blocks. Blocks are as high as the batch of the
 * pass: at most `rows`. Only the last layer's activations, and the derivative of the loss with respect to
 * them, are plain: row-major, with rows `width` apart. */
struct bpk_workspace {
    ptrdiff_t rows;   /* capacity in rows */
    ptrdiff_t height; /* block height whose delta padding is currently zeroed */
    int threads;
    void *memory;
    ptrdiff_t bytes; /* of memory */
    void *x;         /* (rows, inputs) in blocks: the mini-batch */
    int64_t *labels; /* (rows,) */
    void *targets;   /* (rows, width of the last layer), plain */
    /* (rows, width of the last layer), plain: the last delta before it is put in blocks. NULL if the last
     * layer is one block, which is plain already. */
    void *out_delta;
    double *scale, *row_weight, *row_loss, *row_accuracy; /* (rows,) */
    double *sums;    /* (count_chunks(net),) partial sums over the parameters */
    void *gradients; /* stored gradients, laid out like the parameters; or NULL */
    void *x_delta;   /* (rows, inputs) in blocks: the derivative of the loss with respect to x; or NULL */
    ptrdiff_t *bad;  /* (threads,) the first bad row that each thread has found, or -1 */
    void *rows_of_threads; /* (threads, row_size) a row during its conversion */
    void *strips;          /* (threads, strip_size) rows of W, transposed, for delta */
    ptrdiff_t row_size, strip_size;
    struct {
        void *a, *delta; /* delta in training only; the last layer's a is plain */
        void *slope;     /* s', stored like a; in training, if keeps_slope(layer); otherwise NULL */
    } layers[];
};

/* Sets the block height. Blocks of a new height have the padding of deltas in other places: it is zeroed. */
void workspace_set_height(const bpk_net *net, bpk_workspace *ws, ptrdiff_t height);

#endif
