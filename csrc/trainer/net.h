/* A network: its layers, and the stores of its parameters and their companions. Defined in net.c. */
#ifndef BPK_NET_H
#define BPK_NET_H

#include "platform/memory.h"
#include "trainer/elements.h"

typedef struct {
    ptrdiff_t in, out, width; /* width: out, padded to whole vectors */
    bpk_activation activation;
    int parametric; /* whether leaky_relu or elu has its `parameter` in place of 0.01 or 1 */
    double parameter;
    double dropout;          /* probability */
    int narrow;              /* so few outputs that W is stored as (out, in) */
    int pairs;               /* W is stored in pairs (kernels/bfloat16.h): compressed, and not narrow */
    ptrdiff_t rows, columns; /* of W as stored: (in, out); (out, in) if narrow; (pairs, out) if in pairs */
    void *w, *b;             /* (rows, columns) in blocks; (width,) */
    bpk_group groups[BPK_N_KINDS];
    /* Bounds of the norms of W and b together, by store; and those that an update will leave (bounds.h). */
    double norms[BPK_N_STORES], after[BPK_N_STORES];
    /* Whether the activation is z + mix (s(z) - z); mix (out,), in the parameters' store; its factors. */
    int mixes;
    void *mix;
    bpk_group mix_group;
} net_layer;

typedef struct net_inputs net_inputs; /* trainer/inputs.h */

/* All stores have the layout of the parameters, and so do stored gradients. */
struct bpk_net {
    const bpk_kernels *kernels;
    bpk_loss_settings loss; /* with parameters NULL */
    void *loss_parameters;  /* (outputs,) the loss's parameters as reals, or NULL */
    double input_dropout;   /* probability */
    uint64_t dropout_key;
    bpk_counts counts;
    void *stores[BPK_N_STORES];  /* NULL: does not exist */
    void *saved[BPK_N_STORES];   /* the snapshot's copies; NULL: no copy yet */
    int was_there[BPK_N_STORES]; /* whether the store existed at the snapshot */
    bpk_counts saved_counts;
    int compressed;      /* trainer/compressed.h; such a net has no stores besides its parameters */
    int has_groups;      /* whether a group differs from {1, 1, 0} (trainer/groups.h) */
    int has_bounds;      /* whether the norms of the layers are bounds of the present numbers */
    int updates_without; /* the number of updates for which no bounds are tried */
    ptrdiff_t size;      /* elements of a store */
    net_inputs *inputs;  /* the stage in front of layer 0, or NULL */
    void *extra; /* (extra_size,) parameters behind those of the layers: of the stage, and every mix */
    ptrdiff_t extra_size;
    int count;
    net_layer layers[];
};

/* The parameter's counterpart in a buffer of the same layout; NULL if the buffer is NULL. */
static inline void *counterpart(const bpk_net *net, const void *buffer, const void *parameter) {
    return buffer ? (char *)buffer + ((const char *)parameter - (const char *)net->stores[BPK_PARAMETERS])
                  : NULL;
}

static inline const net_layer *last_layer(const bpk_net *net) { return &net->layers[net->count - 1]; }

/* Whether s and s' of a layer are computed together, after the product. */
static inline int has_own_pass(const net_layer *layer) {
    return bpk_needs_z(layer->activation) || layer->parametric || layer->mixes;
}

/* Whether training stores the derivative s' of a layer: after dropout, and for activations with an own pass,
 * it is not computed from the stored activations a. */
static inline int keeps_slope(const net_layer *layer) { return layer->dropout > 0 || has_own_pass(layer); }

/* The parameters or the states have changed, and not by an update that `bounds_hold` has foreseen. */
static inline void net_forget_bounds(bpk_net *net) { net->has_bounds = 0; }

/* Store number n begins n STAGGER bytes after the beginning of its memory. An update stores the state of a
 * weight and then loads the weight: at equal places of two pages, some processors would take the load for one
 * of the number just stored, and let it wait. */
enum { STAGGER = 17 * CACHE_LINE };

static inline size_t net_store_bytes(const bpk_net *net) {
    return (size_t)net->size * net->kernels->real_size;
}

/* Sets where the parameters are, all in the memory of a store. */
void net_lay_out(bpk_net *net, void *memory);

/* sum + rows * columns, or -1 if that overflows or sum is -1. */
ptrdiff_t net_total(ptrdiff_t sum, ptrdiff_t rows, ptrdiff_t columns);

/* Copies layer l's weights (out, in) and bias (out) from a buffer of the parameters' layout to contiguous
 * arrays. */
void net_get_layer(const bpk_net *net, const void *buffer, int l, void *w, void *b);

#endif
