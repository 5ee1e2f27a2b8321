/* The scratch memory of a step. Defined in workspace.c. */
#ifndef BPK_WORKSPACE_H
#define BPK_WORKSPACE_H

#include "trainer/net.h"

/* Of the tiles of a part of a batch: the first error and its row; the sums of a step (step.h). */
typedef struct {
    bpk_status status;
    ptrdiff_t bad_row;
    double weight, loss, accuracy;
} tiles_result;

/* Activations and deltas are (rows, width of the layer), in blocks. Blocks are as high as the batch of the
 * pass: at most `rows`. Only the last layer's activations, and the derivative of the loss with respect to
 * them, are plain: row-major, with rows `width` apart. */
struct bpk_workspace {
    ptrdiff_t rows;   /* capacity in rows */
    ptrdiff_t height; /* the block height for which delta padding is zeroed */
    ptrdiff_t zeroed; /* the rows, in blocks of `height`, whose delta padding is zeroed */
    int threads;
    void *memory;
    ptrdiff_t bytes; /* of memory */
    /* (rows, inputs) in blocks: the mini-batch; and the next one, of at most sweep_rows rows, if it is
     * gathered ahead (ahead.h). They take turns (step.h). */
    void *x[2];
    int64_t *labels; /* (rows,) */
    /* (rows,) each row of targets: in the caller's data, if it is contiguous reals; otherwise in `targets`
     * (rows, width of the last layer), plain. */
    const void **target_rows;
    /* Of the next mini-batch, the first `next_rows` rows of targets, to be prefetched. */
    const void **next_targets;
    ptrdiff_t next_rows;
    void *targets;
    double *scale, *row_weight, *row_loss, *row_accuracy; /* (rows,) */
    double *sums;    /* (count_chunks(net),) partial sums over the parameters */
    void *gradients; /* stored gradients, laid out like the parameters; or NULL */
    void *x_delta;   /* (rows, inputs) in blocks: the derivative of the loss with respect to x; or NULL */
    /* Of the input stage (inputs.h), in blocks: (rows, columns of X), (rows, inputs) and, if x_delta is for
     * the caller, the derivative by the columns of X; the gradients of one mini-batch; scratch per thread. */
    void *gathered, *embedded, *columns_delta, *input_gradients, *input_scratch;
    void *mix_gradients; /* (widest layer,) of the shares of one activation in a mini-batch (extra.h) */
    /* (threads,) the first bad row that each thread has found in the gather, or -1; and in the loss. */
    ptrdiff_t *bad, *bad_targets;
    int64_t batch;         /* the number of the mini-batch of the last forward pass by hand (tape.c) */
    void *rows_of_threads; /* (threads, row_size) a row during its conversion */
    void *strips;          /* (threads, strip_size) rows of W, transposed, for delta */
    ptrdiff_t row_size, strip_size;
    /* For row tiles (row_tiles.h), else NULL: (threads, view_size) each member's workspace, a part of this
     * one; the gradients of all parts of a batch but the first; and the result of each part. */
    void *views, *part_gradients;
    tiles_result *parts;
    ptrdiff_t view_size;
    struct {
        void *a, *delta;  /* delta in training only; the last layer's a is plain */
        void *slope;      /* s', stored like a; in training, if keeps_slope(layer); otherwise NULL */
        void *difference; /* s(z) - z, stored like a; if the layer mixes; otherwise NULL */
    } layers[];
};

/* Sets the block height. Blocks of a new height have the padding of deltas in other places: it is zeroed, in
 * as many blocks as `rows` rows have. */
void workspace_set_height(const bpk_net *net, bpk_workspace *ws, ptrdiff_t height, ptrdiff_t rows);

/* The workspace of one member for tiles of `rows` rows: member `index` has the rows from index * rows on.
 * Its stored gradients are those of part `part`. */
bpk_workspace *workspace_part(const bpk_net *net, const bpk_workspace *ws, int index, ptrdiff_t rows,
                              ptrdiff_t part);

#endif
