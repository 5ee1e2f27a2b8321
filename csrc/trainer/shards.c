/* Gradients as sums over shards of the rows, and over ranks, in the order of a tree. */
#include "trainer/shards.h"

#include <stdlib.h>
#include <string.h>

#include "platform/memory.h"
#include "trainer/groups.h"
#include "trainer/products.h"
#include "trainer/tree.h"

/* The number of a pass's first `rows` rows that belong to `shard`: row i belongs to shard i modulo `shards`.
 */
static ptrdiff_t dealt(int shards, int shard, ptrdiff_t rows) { return (rows + shards - 1 - shard) / shards; }

int bpk_shards_nodes(int shards, int ranks, int rank) {
    tree_node nodes[MOST_NODES];
    return tree_nodes(shards, rank * (shards / ranks), shards / ranks, nodes);
}

bpk_status bpk_shards_create(const bpk_net *net, int shards, int ranks, int rank, int threads,
                             const bpk_link *link, bpk_shards **result) {
    bpk_shards *h = calloc(1, sizeof *h);
    if (!h) return BPK_NO_MEMORY;
    *h = (bpk_shards){.net = net,
                      .shards = shards,
                      .ranks = ranks,
                      .rank = rank,
                      .count = shards / ranks,
                      .first = rank * (shards / ranks),
                      .threads = threads,
                      .link = *link,
                      .levels = tree_levels(shards),
                      .region = net->kernels->panel * net->kernels->panel};
    h->nodes = tree_nodes(shards, h->first, h->count, h->node);
    for (int i = 0; i < h->nodes && link->nodes; i++)
        h->own[i] = element(net->kernels, link->nodes[rank], i * net->size);
    h->begin = calloc((size_t)h->count + 1, sizeof *h->begin);
    h->sums = calloc((size_t)shards * SHARD_SUMS, sizeof *h->sums);
    h->scratch = allocate_unset(threads * (h->levels + 1 + h->nodes) * h->region, net->kernels->real_size);
    if (!h->begin || !h->sums || !h->scratch) {
        bpk_shards_free(h);
        return BPK_NO_MEMORY;
    }
    *result = h;
    return BPK_OK;
}

void bpk_shards_free(bpk_shards *h) {
    if (!h) return;
    free(h->begin);
    free(h->sums);
    if (h->scratch) release(h->scratch);
    free(h);
}

void bpk_shards_set_rows(bpk_shards *h, ptrdiff_t rows, ptrdiff_t batch) {
    h->rows = rows;
    h->batch = batch;
}

/* Mini-batches --------------------------------------------------------------------------------------- */

int shards_begin(step *s) {
    bpk_shards *h = s->request->shards;
    const ptrdiff_t done = s->cursor.batches * h->batch, left = h->rows - done;
    if (left <= 0) return 0;
    const ptrdiff_t rows = smaller(left, h->batch);
    ptrdiff_t place = 0, own = 0;
    for (int i = 0; i < h->first + h->count; i++) {
        if (i >= h->first && !s->me.index) h->begin[i - h->first] = own;
        *(i < h->first ? &place : &own) += dealt(h->shards, i, done + rows) - dealt(h->shards, i, done);
    }
    s->m = own;
    if (!s->me.index) {
        h->begin[h->count] = own;
        h->all_rows = rows;
        h->place = place;
    }
    team_barrier(s->me);
    return 1;
}

void shards_sums(const step *s) {
    bpk_shards *h = s->request->shards;
    const bpk_workspace *ws = s->ws;
    for (int i = 0; i < h->count && !s->me.index; i++) {
        double *sum = h->sums + (h->first + i) * SHARD_SUMS;
        sum[SHARD_WEIGHT] = sum[SHARD_LOSS] = sum[SHARD_ACCURACY] = 0;
        for (ptrdiff_t row = h->begin[i]; row < h->begin[i + 1]; row++) {
            sum[SHARD_WEIGHT] += ws->row_weight[row];
            sum[SHARD_LOSS] += ws->row_weight[row] * ws->row_loss[row];
            sum[SHARD_ACCURACY] += ws->row_weight[row] * ws->row_accuracy[row];
        }
    }
}

bpk_status shards_agree(step *s, bpk_status status) {
    bpk_shards *h = s->request->shards;
    if (!s->me.index) {
        h->agreed = (int)status;
        if (h->link.agree) h->agreed = h->link.agree(h->link.context, (int)status, h->sums);
    }
    team_barrier(s->me);
    if (status != BPK_OK) return status;
    if (h->agreed != BPK_OK) return BPK_STOPPED;
    s->weight = tree_sum(h->shards, h->sums + SHARD_WEIGHT, SHARD_SUMS);
    s->loss = tree_sum(h->shards, h->sums + SHARD_LOSS, SHARD_SUMS);
    s->accuracy = tree_sum(h->shards, h->sums + SHARD_ACCURACY, SHARD_SUMS);
    return BPK_OK;
}

/* Gradients of this rank's shards -------------------------------------------------------------------- */

enum { MOST_LATER = 8 };

/* A part of a store: `runs` runs of `length` elements, `ld` apart. Its scratch copies have the gaps, too. */
typedef struct {
    const step *s;
    const bpk_shards *h;
    const bpk_update_args *weights; /* or NULL: of a bias */
    const bpk_bias_args *bias;
    ptrdiff_t runs, length, ld, size;
    char *scratch;
    bpk_move add;
    /* What is read after the sums: the parameters, their states, other ranks' gradients. It comes from memory
     * or from other processors' caches while the sums are computed, some of it before each shard. */
    const char *later[MOST_LATER];
    int laters;
    ptrdiff_t fetched, step; /* bytes of each */
} region;

/* The scratch sum of a node of that level. */
static void *scratch_of(const region *r, int level) {
    return element(r->h->net->kernels, r->scratch, level * r->h->region);
}

/* Where the sum of this rank's node number i is. */
static void *own_sum(const region *r, int i) { return scratch_of(r, (int)r->h->levels + 1 + i); }

static void fetch_later(region *r, const void *at) {
    if (at && r->laters < MOST_LATER) r->later[r->laters++] = at;
}

/* Prefetches some of what is read later. */
static void fetch_some(region *r) {
    const ptrdiff_t size = r->size * (ptrdiff_t)r->h->net->kernels->real_size;
    const ptrdiff_t end = smaller(r->fetched + r->step, size);
    for (; r->fetched < end; r->fetched += CACHE_LINE)
        for (int i = 0; i < r->laters; i++) __builtin_prefetch(r->later[i] + r->fetched, 0, 2);
}

/* sum (size) += the gradient of one shard, whose rows are added up in their order. */
static void add_shard(region *r, int64_t shard, void *sum) {
    const bpk_kernels *kernels = r->h->net->kernels;
    if (r->laters) fetch_some(r);
    const ptrdiff_t *begin = r->h->begin + (shard - r->h->first);
    if (r->weights) {
        bpk_update_args args = *r->weights;
        args.left = element(kernels, args.left, begin[0] * args.ldl);
        args.right = element(kernels, args.right, begin[0] * args.ldr);
        args.k = begin[1] - begin[0];
        args.w = sum;
        args.move = &r->add;
        memcpy(args.state, NO_STATES, sizeof args.state);
        kernels->update(&args);
    } else {
        bpk_bias_args args = *r->bias;
        args.delta = element(kernels, args.delta, begin[0] * args.ldd);
        args.k = begin[1] - begin[0];
        args.b = sum;
        args.move = &r->add;
        memcpy(args.state, NO_STATES, sizeof args.state);
        kernels->update_bias(&args);
    }
}

/* sum (size) = the sum of a node. Depth first: the scratch sums of a region stay in the first cache. The
 * second of two leaves is added to the first as its tiles are computed. */
static void sum_node(region *r, int64_t first, int level, void *sum) {
    const bpk_kernels *kernels = r->h->net->kernels;
    const int64_t second = level ? first + ((int64_t)1 << (level - 1)) : r->h->shards;
    if (level <= 1) {
        memset(sum, 0, (size_t)r->size * kernels->real_size);
        add_shard(r, first, sum);
        if (second < r->h->shards) add_shard(r, second, sum);
        return;
    }
    sum_node(r, first, level - 1, sum);
    if (second >= r->h->shards) return;
    sum_node(r, second, level - 1, scratch_of(r, level - 1));
    kernels->move(&r->add, r->size, scratch_of(r, level - 1), sum, NO_STATES);
}

/* Begins to fetch what `spend` reads after the sums, to move the parameters at `w`. */
static void fetch_for_move(region *r, void *const state[BPK_STATES], const void *w) {
    const bpk_shards *h = r->h;
    const ptrdiff_t bytes = r->size * (ptrdiff_t)h->net->kernels->real_size;
    r->step = (bytes / h->count + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    fetch_later(r, w);
    for (int i = 0; i < BPK_STATES; i++) fetch_later(r, state[i]);
    for (int rank = 0; rank < h->ranks; rank++)
        if (rank != h->rank) fetch_later(r, shards_stored(h, rank, 0, shards_place(h->net, w)));
}

/* Stores a run of gradients of one of this rank's nodes, of the parameters at `w`. */
static void store(const region *r, int node, void *w, const void *from) {
    const bpk_shards *h = r->h;
    void *to = counterpart(h->net, h->stores[node], w);
    if (h->adds)
        h->net->kernels->move(&r->add, r->length, from, to, NO_STATES);
    else
        memcpy(to, from, (size_t)r->length * h->net->kernels->real_size);
}

/* Moves the parameters of a region, the first of which is at `parameters`, or stores its gradients. */
static void spend(region *r, const bpk_move *move, void *const state[BPK_STATES], void *parameters) {
    const step *s = r->s;
    const bpk_shards *h = r->h = s->request->shards;
    const bpk_kernels *kernels = h->net->kernels;
    r->scratch = shards_scratch(s);
    r->add = adding(1).weights;
    if (!h->stores) fetch_for_move(r, state, parameters);
    for (int i = 0; i < h->nodes; i++) sum_node(r, h->node[i].first, h->node[i].level, own_sum(r, i));
    for (ptrdiff_t run = 0; run < r->runs; run++) {
        const ptrdiff_t at = run * r->ld;
        void *w = element(kernels, parameters, at), *sums[MOST_NODES], *states[BPK_STATES];
        for (int i = 0; i < h->nodes; i++) {
            sums[i] = element(kernels, own_sum(r, i), at);
            if (h->stores) store(r, i, w, sums[i]);
        }
        if (h->stores) continue;
        for (int j = 0; j < BPK_STATES; j++) states[j] = state[j] ? element(kernels, state[j], at) : NULL;
        kernels->move(move, r->length, shards_total(h, shards_place(h->net, w), r->length, sums, r->scratch),
                      w, states);
    }
}

void shards_update(const step *s, const bpk_update_args *args, void *parameters) {
    const int whole = args->ldw == args->n;
    region r = {.s = s,
                .weights = args,
                .runs = whole ? 1 : args->to,
                .length = whole ? args->to * args->n : args->n,
                .ld = args->ldw,
                .size = whole ? args->to * args->n : (args->to - 1) * args->ldw + args->n};
    spend(&r, args->move, args->state, parameters);
}

void shards_update_bias(const step *s, const bpk_bias_args *args, void *parameters) {
    region r = {.s = s, .bias = args, .runs = 1, .length = args->n, .size = args->n};
    spend(&r, args->move, args->state, parameters);
}
