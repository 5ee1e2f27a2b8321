/* What a network and a workspace are made of, and a step of training; shared by the files of the trainer. */
#ifndef BPK_NET_H
#define BPK_NET_H

#include "products.h"

typedef struct {
    ptrdiff_t in, out, width; /* width: out padded to whole vectors */
    bpk_activation activation;
    int narrow;              /* so few outputs that W is not transposed */
    ptrdiff_t rows, columns; /* of W as it is kept: in and out, or out and in where narrow */
    void *w, *b;             /* (rows, columns) in blocks; (width,) */
    void *vw, *vb;           /* the same shapes, or NULL: no momentum yet */
} net_layer;

struct bpk_net {
    const bpk_kernels *kernels;
    bpk_loss loss;
    void *loss_parameters; /* (last layer,) reals, or NULL where the loss has none */
    double smoothing;
    void *parameters, *velocities, *saved; /* the memory behind the layers, and behind the snapshot */
    ptrdiff_t size;                        /* of one of them, in elements */
    int saved_velocities;                  /* whether there were velocities to save */
    int count;
    net_layer layers[];
};

/* Activations and deltas are (rows, width of the layer), in blocks as high as the batch of the call, but for
 * what goes in and out of the loss, which is plain. */
struct bpk_workspace {
    ptrdiff_t rows, height; /* the most there is room for; what the padding of deltas is zero for */
    int threads;
    void *memory;
    void *x;         /* (rows, first layer) in blocks: the mini-batch */
    int64_t *labels; /* (rows,) */
    void *targets;   /* (rows, width of the last layer), plain */
    void *out_delta; /* likewise: the last delta as the loss makes it, where that is more than a block */
    double *scale, *row_weight, *row_loss, *row_accuracy; /* (rows,) */
    double *squares;                                      /* (blocks of all weights,) their sums of squares */
    ptrdiff_t *bad;        /* (threads,) the first bad row each has met, or -1 */
    void *rows_of_threads; /* (threads, row_size): a row on its way through a conversion */
    void *strips;          /* (threads, strip_size): some rows of W, transposed, on their way to delta */
    ptrdiff_t row_size, strip_size;
    struct {
        void *a, *delta; /* delta in training; the last layer's a is plain */
    } layers[];
};

/* Where a mini-batch comes from. */
typedef struct {
    const bpk_source *source;
    const int64_t *index; /* or NULL: row after row */
    ptrdiff_t next;       /* where the batch begins in it */
    ptrdiff_t rows;       /* of all batches */
} origin;

static inline ptrdiff_t row_of(const int64_t *index, ptrdiff_t place) {
    return index ? (ptrdiff_t)index[place] : place;
}

/* Rows from ... to of a batch as reals: `out` is plain with its rows `ldo` apart, or with ldo 0 in blocks of
 * `rows` rows. -1, or which row of the batch holds what is no finite real. `row` has room for one. */
ptrdiff_t gather(const bpk_kernels *kernels, const origin *batch, ptrdiff_t from, ptrdiff_t to, void *out,
                 ptrdiff_t ldo, ptrdiff_t rows, void *row);

/* Whether the rows of a source are aligned reals one after the other, to be read where they are. */
int is_plain(const bpk_kernels *kernels, const bpk_source *source);

/* Whether a run is one for kernels->online: mini-batches of one row of plain numbers, through layers that one
 * vector holds, and whose derivatives are functions of the activation. */
enum { ONLINE_LAYERS = 8 };
int goes_online(const bpk_net *net, const bpk_run *run);

/* One step, and several: every member of a team makes the same calls with a `step` of its own. */
typedef struct {
    const bpk_net *net;
    bpk_workspace *ws;
    const bpk_run *run;
    member me;
    ptrdiff_t rows;                /* how high blocks are: the rows of a whole batch */
    ptrdiff_t next, m;             /* the batch: where it begins, and its rows */
    ptrdiff_t bad_row;             /* in x and y, with BPK_BAD_ROW */
    double loss, accuracy, weight; /* sums over the rows of the batch; l2 is in the loss */
} step;

/* The next batch, as far as its activations; or as far as its loss, and the last layer's delta if wanted.
 * What comes after a step has to wait for all members: they may still be reading. */
bpk_status step_forward(step *step);
bpk_status step_loss(step *step, int with_delta, double l2);

/* From the last layer's delta: the update, or with dw the gradients added to dw[l] and db[l]. */
void step_backward(const step *step, void *const *dw, void *const *db);

#endif
