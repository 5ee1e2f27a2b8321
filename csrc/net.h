/* What a network and a workspace are made of, and a step of training; shared by the files of the trainer. */
#ifndef BPK_NET_H
#define BPK_NET_H

#include "products.h"

typedef struct {
    ptrdiff_t in, out, width; /* width: out padded to whole vectors */
    bpk_activation activation;
    double dropout;          /* the probability that an activation is dropped */
    int narrow;              /* so few outputs that W is not transposed */
    ptrdiff_t rows, columns; /* of W as it is kept: in and out, or out and in where narrow */
    void *w, *b;             /* (rows, columns) in blocks; (width,) */
} net_layer;

/* All stores have the layout of the parameters, and so has the memory of stored gradients. */
struct bpk_net {
    const bpk_kernels *kernels;
    bpk_loss loss;
    void *loss_parameters; /* (last layer,) reals, or NULL where the loss has none */
    double smoothing, loss_factor, slope_factor, most; /* of the loss */
    int deviance;
    uint64_t dropout_key;
    bpk_counts counts;
    void *stores[BPK_N_STORES]; /* NULL: not there */
    void *saved[BPK_N_STORES];  /* of the snapshot, and whether the store was there then */
    int was_there[BPK_N_STORES];
    bpk_counts saved_counts;
    ptrdiff_t size; /* of a store, in elements */
    int count;
    net_layer layers[];
};

/* What stands for a parameter in another memory of the layout of the parameters; NULL where that is. */
static inline void *beside(const bpk_net *net, const void *memory, const void *parameter) {
    return memory ? (char *)memory + ((const char *)parameter - (const char *)net->stores[BPK_PARAMETERS])
                  : NULL;
}

static inline const net_layer *last_layer(const bpk_net *net) { return &net->layers[net->count - 1]; }

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
    double *sums;          /* (as many as the parameters have chunks,) for what is summed over them */
    void *gradients;       /* stored gradients, laid out as the parameters; or NULL */
    void *x_delta;         /* with gradients: the derivative of the loss by x, like it */
    ptrdiff_t *bad;        /* (threads,) the first bad row each has met, or -1 */
    void *rows_of_threads; /* (threads, row_size): a row on its way through a conversion */
    void *strips;          /* (threads, strip_size): some rows of W, transposed, on their way to delta */
    ptrdiff_t row_size, strip_size;
    struct {
        void *a, *delta; /* delta in training; the last layer's a is plain */
        void *slope;     /* in training, where `keeps_slope`: the derivative of a; like it */
    } layers[];
};

/* Makes blocks of another height: the padding of deltas, which is zero, lies elsewhere in them. */
void workspace_set_height(const bpk_net *net, bpk_workspace *ws, ptrdiff_t height);

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
 * vector holds, whose derivatives are functions of the activation, with a loss that has no factors. */
enum { ONLINE_LAYERS = 8 };
int goes_online(const bpk_net *net, const bpk_run *run);

/* One step, and several: every member of a team makes the same calls with a `step` of its own. */
typedef struct {
    const bpk_net *net;
    bpk_workspace *ws;
    const bpk_run *run;
    member me;
    ptrdiff_t rows; /* how high blocks are: the rows of a whole batch */
    int drops;      /* whether activations are dropped, as in training */
    bpk_counts counts;
    ptrdiff_t updates, pending; /* as in the run */
    double pending_weight;
    ptrdiff_t next, m;             /* the batch: where it begins, and its rows */
    ptrdiff_t bad_row;             /* in x and y, with BPK_BAD_ROW */
    double loss, accuracy, weight; /* sums over the rows of the batch; penalties are in the loss */
} step;

/* A hidden layer whose activations are dropped, or whose derivative is no function of them, keeps the
 * derivative in training. */
static inline int keeps_slope(const net_layer *layer) {
    return layer->dropout > 0 || bpk_needs_z(layer->activation);
}

/* The next batch, as far as the activations of so many layers; or as far as its loss, without penalties, and
 * if wanted what the loss's derivative by the last activation is. What comes after a step has to wait for all
 * members: they may still be reading. */
bpk_status step_forward(step *step, int layers);
bpk_status step_loss(step *step, int with_delta);

/* What layer l is given: the mini-batch, or the activations below. And a matrix in blocks of the batch. */
static inline void *step_input(const step *s, int l) { return l ? s->ws->layers[l - 1].a : s->ws->x; }
static inline bpk_left step_blocks(const step *s, const void *at) {
    return (bpk_left){.at = at, .rows = s->rows};
}

/* A row of the activations of layer l, plain. */
void step_row(const step *step, int l, ptrdiff_t row, void *out);

/* The last layer's delta: row i of it from `plain`, the derivative of the loss by its activations, which is
 * overwritten. */
void step_out_delta(const step *step, void *plain, ptrdiff_t from, ptrdiff_t to);

/* From the last layer's delta down: the update, or with `stores` the gradients times `factor` added to those
 * that the workspace stores; with `dx` also the derivative by x. */
void step_backward(const step *step, int stores, double factor, int dx);

/* An update by `scale` times the stored gradients, which are zero after it. */
void step_spend(const step *step, double scale);

/* The average of the parameters goes after them. */
void step_average(const step *step);

/* Each member's part of the penalties to the workspace's sums; and, once all are there, their sum. */
void step_penalties(const step *step, double l1, double l2);
double step_sums(const step *step);

/* How many sums that are. */
ptrdiff_t count_chunks(const bpk_net *net);

/* How weights and biases move at the update to come, of which a batch of that weight is all there is. */
typedef struct {
    bpk_move weights, biases;
} moves;
moves next_moves(const bpk_run *run, bpk_counts counts, ptrdiff_t updates, double weight);

/* What the penalties are multiplied by in a batch of that weight. */
static inline double penalty_part(const bpk_run *run, double weight) {
    return run->penalty_per_weight ? 1 / weight : 1;
}

#endif
