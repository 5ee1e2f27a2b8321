/* Sums of the gradients of all ranks, and the updates by them. */
#include <string.h>

#include "platform/memory.h"
#include "trainer/groups.h"
#include "trainer/products.h"
#include "trainer/rank_barrier.h"
#include "trainer/shards.h"

void bpk_shards_segment(const bpk_net *net, int l, int ranks, int rank, ptrdiff_t *from, ptrdiff_t *to) {
    const ptrdiff_t start = shards_place(net, net->layers[l].w);
    const ptrdiff_t end = shards_place(net, net->layers[l].b) + net->layers[l].width;
    const ptrdiff_t lines = (end - start) / CACHE_LINE;
    *from = rank ? start + lines * rank / ranks * CACHE_LINE : start;
    *to = rank + 1 < ranks ? start + lines * (rank + 1) / ranks * CACHE_LINE : end;
}

static int travel(const bpk_shards *h, bpk_stage stage, int l) {
    return h->link.travel(h->link.context, stage, l);
}

void shards_send(const step *s, int l) {
    const bpk_shards *h = s->request->shards;
    if (h->ranks > 1 && !h->link.shared) travel(h, BPK_SEND, l);
}

/* The number of the node that begins at shard `first`, among those of its rank. */
static int number_of(const bpk_shards *h, int rank, int64_t first) {
    tree_node nodes[MOST_NODES];
    const int count = tree_nodes(h->shards, rank * h->count, h->count, nodes);
    int i = 0;
    while (i < count - 1 && nodes[i].first != first) i++;
    return i;
}

/* Whether one rank has all shards of a node: as it is reached from above, one of its nodes. */
static int has_one_rank(const bpk_shards *h, int64_t first, int level) {
    const int64_t end = first + ((int64_t)1 << level), last = end < h->shards ? end : h->shards;
    return last <= (first / h->count + 1) * h->count;
}

/* A sum of gradients, and the same if it may be added to. */
typedef struct {
    const void *at;
    void *free;
} sum;

/* `n` gradients of all ranks, from element `at` of a store on. */
typedef struct {
    const bpk_shards *h;
    bpk_move add;
    ptrdiff_t at, n;
    void *const *own; /* as for shards_total */
    char *scratch;
} addends;

/* The sum of a node, in `room` or elsewhere. The scratch sums of lower levels are overwritten meanwhile, and
 * later by the caller: it reads none of them. */
static sum sum_ranks(const addends *a, int64_t first, int level, void *room) {
    const bpk_shards *h = a->h;
    const bpk_kernels *kernels = h->net->kernels;
    if (has_one_rank(h, first, level)) {
        const int rank = (int)(first / h->count), i = number_of(h, rank, first);
        if (a->own && rank == h->rank) return (sum){a->own[i], a->own[i]};
        return (sum){shards_stored(h, rank, i, a->at), NULL};
    }
    const int64_t second = first + ((int64_t)1 << (level - 1));
    sum left = sum_ranks(a, first, level - 1, room);
    if (second >= h->shards) return left;
    /* The sum of both is in `left`, or if that is only read, in `right` or `room`. */
    void *other = left.free ? element(kernels, a->scratch, (level - 1) * h->region) : room;
    sum right = sum_ranks(a, second, level - 1, other);
    if (!left.free && !right.free) {
        left.at = memcpy(room, left.at, (size_t)a->n * kernels->real_size);
        left.free = room;
    }
    /* A sum of two numbers does not depend on their order. */
    const sum *to = left.free ? &left : &right, *from = left.free ? &right : &left;
    kernels->move(&a->add, a->n, from->at, to->free, NO_STATES);
    return *to;
}

const void *shards_total(const bpk_shards *h, ptrdiff_t at, ptrdiff_t n, void *const *own, char *scratch) {
    const addends a = {.h = h, .add = adding(1).weights, .at = at, .n = n, .own = own, .scratch = scratch};
    return sum_ranks(&a, 0, (int)h->levels, element(h->net->kernels, scratch, h->levels * h->region)).at;
}

/* The member's share of elements `from` to `to`. */
static void share(const step *s, ptrdiff_t *from, ptrdiff_t *to) {
    ptrdiff_t first, last;
    team_share(s->me, *to - *from, CACHE_LINE, &first, &last);
    *to = *from + last;
    *from += first;
}

/* This rank's segments of all layers, summed by the team. */
static void sum_segments(const step *s) {
    const bpk_shards *h = s->request->shards;
    const bpk_kernels *kernels = h->net->kernels;
    char *scratch = shards_scratch(s);
    for (int l = h->net->count - 1; l >= 0; l--) {
        ptrdiff_t from, to;
        bpk_shards_segment(h->net, l, h->ranks, h->rank, &from, &to);
        share(s, &from, &to);
        for (ptrdiff_t n; from < to; from += n) {
            n = smaller(to - from, h->region);
            memcpy(element(kernels, h->link.results[h->rank], from), shards_total(h, from, n, NULL, scratch),
                   (size_t)n * kernels->real_size);
        }
    }
}

/* Whether ranks exchange sums. Otherwise each adds up all elements as it spends them. */
static int has_results(const bpk_shards *h) { return h->link.results[h->rank] != NULL; }

/* Waits until all ranks have done what comes before that stage. */
static bpk_status reach(step *s, bpk_stage stage) {
    bpk_shards *h = s->request->shards;
    if (h->link.shared) return ranks_meet(s);
    if (!s->me.index) h->agreed = travel(h, stage, 0);
    team_barrier(s->me);
    return h->agreed ? BPK_STOPPED : BPK_OK;
}

bpk_status shards_reduce(step *s) {
    if (reach(s, BPK_RECEIVE) != BPK_OK) return BPK_STOPPED;
    if (!has_results(s->request->shards)) return BPK_OK;
    sum_segments(s);
    team_barrier(s->me);
    return reach(s, BPK_SHARE);
}

/* The sum of all ranks' gradients, of `n` elements from `at` on in a rank's segment: at most a region. */
static const void *spent(const step *s, int rank, ptrdiff_t at, ptrdiff_t n) {
    const bpk_shards *h = s->request->shards;
    if (has_results(h)) return element(h->net->kernels, h->link.results[rank], at);
    return shards_total(h, at, n, NULL, shards_scratch(s));
}

void shards_collect(const step *s, int adds) {
    const bpk_shards *h = s->request->shards;
    const bpk_kernels *kernels = h->net->kernels;
    const bpk_move add = adding(1).weights;
    for (int l = 0; l < h->net->count; l++)
        for (int rank = 0; rank < h->ranks; rank++) {
            ptrdiff_t from, to;
            bpk_shards_segment(h->net, l, h->ranks, rank, &from, &to);
            share(s, &from, &to);
            for (ptrdiff_t n; from < to; from += n) {
                n = smaller(to - from, h->region);
                const void *sum = spent(s, rank, from, n);
                void *stored = element(kernels, s->ws->gradients, from);
                if (adds)
                    kernels->move(&add, n, sum, stored, NO_STATES);
                else
                    memcpy(stored, sum, (size_t)n * kernels->real_size);
            }
        }
}

/* Moves the member's share of those of a layer's elements `first` to `last` that are in a rank's segment. */
static void move_segment(const step *s, int l, int rank, ptrdiff_t first, ptrdiff_t last,
                         const bpk_move *move) {
    const bpk_shards *h = s->request->shards;
    const bpk_net *net = h->net;
    ptrdiff_t from, to;
    bpk_shards_segment(net, l, h->ranks, rank, &from, &to);
    from = larger(from, first);
    to = smaller(to, last);
    if (from >= to) return;
    share(s, &from, &to);
    for (ptrdiff_t n; from < to; from += n) {
        n = smaller(to - from, h->region);
        void *states[BPK_STATES];
        for (int i = 0; i < BPK_STATES; i++) {
            const int used = bpk_uses(&s->request->update.optimizer, BPK_M + i);
            states[i] = used ? element(net->kernels, net->stores[BPK_M + i], from) : NULL;
        }
        net->kernels->move(move, n, spent(s, rank, from, n),
                           element(net->kernels, net->stores[BPK_PARAMETERS], from), states);
    }
}

void shards_move(const step *s, const moves *all) {
    const bpk_shards *h = s->request->shards;
    const bpk_net *net = h->net;
    for (int l = 0; l < net->count; l++) {
        const net_layer *layer = &net->layers[l];
        const ptrdiff_t w = shards_place(net, layer->w), b = shards_place(net, layer->b);
        const moves own = net->has_groups ? layer_moves(all, layer->groups) : *all;
        for (int rank = 0; rank < h->ranks; rank++) {
            if (!is_frozen(layer, BPK_WEIGHTS)) move_segment(s, l, rank, w, b, &own.weights);
            if (!is_frozen(layer, BPK_BIASES)) move_segment(s, l, rank, b, b + layer->width, &own.biases);
        }
    }
}
