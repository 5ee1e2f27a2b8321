/* Mini-batches whose gradient is the sum over shards of the rows, in the order of a fixed binary tree; and
 * ranks, which are processes that each have some of the shards. Defined in shards.c; what adds up the ranks'
 * gradients in rank_sums.c; the tree in tree.c.
 *
 * Everything that depends on a row is computed for all of this rank's rows at once, by kernels whose bits for
 * a row do not depend on other rows. Everything that adds up rows is computed shard by shard: no bit depends
 * on the number of ranks. The loss's derivatives are not divided by the weight of the mini-batch, which
 * another rank may not know yet; the sum of the gradients is. */
#ifndef BPK_SHARDS_H
#define BPK_SHARDS_H

#include "kernels/kernels.h"
#include "trainer/optimizer.h"
#include "trainer/step.h"
#include "trainer/tree.h"

/* Each shard's sums over its rows of a mini-batch. */
enum { SHARD_WEIGHT, SHARD_LOSS, SHARD_ACCURACY, SHARD_SUMS };

struct bpk_shards {
    const bpk_net *net;
    int shards, ranks, rank;
    int count, first; /* this rank's shards */
    int threads;
    ptrdiff_t rows, batch; /* of all ranks: rows of the pass, and of a mini-batch */
    bpk_link link;
    int nodes; /* those of this rank's shards */
    tree_node node[MOST_NODES];
    void *own[MOST_NODES]; /* of a link: where this rank stores the gradients of each */

    /* Of the present mini-batch. */
    ptrdiff_t all_rows, place; /* its rows on all ranks, and those of earlier ranks */
    ptrdiff_t *begin;          /* (count + 1,) where this rank's shards begin in the workspace, and the end */
    double *sums;              /* (shards, SHARD_SUMS) */
    int agreed;                /* the ranks' common status */
    void *const *stores;       /* (nodes,) where the nodes' gradients go; NULL: they move the parameters */
    int adds;                  /* whether they are added there */

    void *scratch; /* (threads, levels + 1 + nodes, region) */
    ptrdiff_t region, levels;

    uint32_t turn; /* the barriers at which this rank has arrived (rank_barrier.h) */

    /* Of ranks that lend their parameters (shared.h). */
    int lent;                /* the stores that are lent: a set of bits */
    void *kept[BPK_AVERAGE]; /* their own memory */
    bpk_counts kept_counts;  /* as the parameters there are */
    int torn;                /* whether an update has been begun that not all ranks have finished */
};

/* For sums of gradients, which no optimiser moves. */
static void *const NO_STATES[BPK_STATES] = {NULL};

/* The member's scratch memory. */
static inline char *shards_scratch(const step *s) {
    const bpk_shards *h = s->request->shards;
    return element(h->net->kernels, h->scratch, s->me.index * (h->levels + 1 + h->nodes) * h->region);
}

/* The element of a store at which a parameter stands. */
static inline ptrdiff_t shards_place(const bpk_net *net, const void *parameter) {
    return ((const char *)parameter - (const char *)net->stores[BPK_PARAMETERS]) /
           (ptrdiff_t)net->kernels->real_size;
}

/* Where a rank has stored the gradients of one of its nodes, from element `at` of a store on. */
static inline const void *shards_stored(const bpk_shards *h, int rank, int node, ptrdiff_t at) {
    return element(h->net->kernels, h->link.nodes[rank], node * h->net->size + at);
}

/* Whether the pass has another mini-batch. If so, sets its rows. */
int shards_begin(step *step);

/* The sums of each shard of this rank, from the losses in the workspace. */
void shards_sums(const step *step);

/* Exchanges the sums of all ranks and each one's status; the step has the totals then. Returns this rank's
 * status if it is an error, BPK_STOPPED if another rank has one. Passes barriers. */
bpk_status shards_agree(step *step, bpk_status status);

/* Moves a part of W or of a bias along its gradient, or stores the gradient: args as for the kernel, of all
 * rows of this rank, with the state and move of the parameters at `parameters`. */
void shards_update(const step *step, const bpk_update_args *args, void *parameters);
void shards_update_bias(const step *step, const bpk_bias_args *args, void *parameters);

/* The gradients of layer l are complete on this rank. Passes no barrier: one member calls it. */
void shards_send(const step *step, int l);

/* Where the sum of all ranks' gradients is, of `n` elements of a store from `at` on: at most a region. This
 * rank's own nodes (nodes,) are at `own`, and overwritten; NULL: where they are stored. */
const void *shards_total(const bpk_shards *h, ptrdiff_t at, ptrdiff_t n, void *const *own, char *scratch);

/* Waits for the gradients of all ranks. If the link has results, adds them up; each rank has those of its
 * segments then, and reads the others'. Returns BPK_STOPPED if the link is broken. Passes barriers. */
bpk_status shards_reduce(step *step);

/* Copies or adds the sum of all ranks' gradients to the stored gradients. A barrier must follow. */
void shards_collect(const step *step, int adds);

/* Makes the update by the sum of all ranks' gradients, without storing it. A barrier must follow. */
void shards_move(const step *step, const moves *all);

#endif
