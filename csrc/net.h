/* What a network and a workspace are made of; shared by the files of the trainer. */
#ifndef BPK_NET_H
#define BPK_NET_H

#include "panels.h"

typedef struct {
    ptrdiff_t in, out, width; /* width: out padded to whole vectors */
    bpk_activation activation;
    void *w, *b;   /* panels of (in, width); (width,) */
    void *vw, *vb; /* the same shapes, or NULL: no momentum yet */
} net_layer;

struct bpk_net {
    const bpk_kernels *kernels;
    bpk_loss loss;
    void *parameters, *velocities, *saved; /* the memory behind the layers, and behind the snapshot */
    ptrdiff_t size;                        /* of one of them, in elements */
    int saved_velocities;                  /* whether there were velocities to save */
    int count;
    net_layer layers[];
};

struct bpk_workspace {
    ptrdiff_t rows;
    ptrdiff_t ldx;
    void *x;         /* (rows, ldx) the mini-batch */
    int64_t *labels; /* (rows,) */
    void *targets;   /* (rows, width of the last layer) */
    void *w_plain;   /* (out, padded(in)) of the layer that deltas come back through; in training */
    double *scale, *row_weight, *row_loss, *row_accuracy; /* (rows,) */
    int count;
    struct {
        void *a, *delta; /* (rows, width of the layer); delta in training */
    } layers[];
};

/* Rows `index[from] ...` of a source as reals, `count` of them; -1, or the first row that holds what is no
 * finite real: its place in the source. */
ptrdiff_t gather(const bpk_kernels *kernels, const bpk_source *source, const int64_t *index, ptrdiff_t from,
                 ptrdiff_t count, void *out, ptrdiff_t ldo);

#endif
