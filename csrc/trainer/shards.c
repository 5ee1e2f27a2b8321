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
    h->begin = calloc((size_t)h->count + 1, sizeof *h->begin);
    h->sums = calloc((size_t)shards * SHARD_SUMS, sizeof *h->sums);
    h->scratch = allocate_unset(threads * (h->levels + 1) * h->region, net->kernels->real_size);
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

/* The element of a store at which a parameter stands. */
static ptrdiff_t place_of(const bpk_net *net, const void *parameter) {
    return ((const char *)parameter - (const char *)net->stores[BPK_PARAMETERS]) /
           (ptrdiff_t)net->kernels->real_size;
}

void bpk_shards_segment(const bpk_net *net, int l, int ranks, int rank, ptrdiff_t *from, ptrdiff_t *to) {
    const ptrdiff_t start = place_of(net, net->layers[l].w);
    const ptrdiff_t end = place_of(net, net->layers[l].b) + net->layers[l].width;
    const ptrdiff_t lines = (end - start) / CACHE_LINE;
    *from = rank ? start + lines * rank / ranks * CACHE_LINE : start;
    *to = rank + 1 < ranks ? start + lines * (rank + 1) / ranks * CACHE_LINE : end;
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

/* A part of a store: `runs` runs of `length` elements, `ld` apart. Its scratch copies have the gaps, too. */
typedef struct {
    const step *s;
    const bpk_shards *h;
    const bpk_update_args *weights; /* or NULL: of a bias */
    const bpk_bias_args *bias;
    ptrdiff_t runs, length, ld, size;
    char *scratch;
    bpk_move add;
} region;

static void *const NO_STATES[BPK_STATES] = {NULL};

/* The scratch sum of a node of that level. */
static void *scratch_of(const region *r, int level) {
    return element(r->h->net->kernels, r->scratch, level * r->h->region);
}

/* sum (size) += the gradient of one shard, whose rows are added up in their order. */
static void add_shard(const region *r, int64_t shard, void *sum) {
    const bpk_kernels *kernels = r->h->net->kernels;
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
static void sum_node(const region *r, int64_t first, int level, void *sum) {
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

/* Moves the parameters of a region, the first of which is at `parameters`, or stores its gradients. */
static void spend(region *r, const bpk_move *move, void *const state[BPK_STATES], void *parameters) {
    const step *s = r->s;
    const bpk_shards *h = r->h = s->request->shards;
    const bpk_kernels *kernels = h->net->kernels;
    r->scratch = element(kernels, h->scratch, s->me.index * (h->levels + 1) * h->region);
    r->add = adding(1).weights;
    for (int i = 0; i < h->nodes; i++) {
        char *sum = scratch_of(r, (int)h->levels);
        sum_node(r, h->node[i].first, h->node[i].level, sum);
        for (ptrdiff_t run = 0; run < r->runs; run++) {
            const ptrdiff_t at = run * r->ld;
            void *w = element(kernels, parameters, at), *from = element(kernels, sum, at);
            if (!h->stores) {
                void *states[BPK_STATES];
                for (int j = 0; j < BPK_STATES; j++)
                    states[j] = state[j] ? element(kernels, state[j], at) : NULL;
                kernels->move(move, r->length, from, w, states);
            } else if (h->adds) {
                kernels->move(&r->add, r->length, from, counterpart(h->net, h->stores[i], w), NO_STATES);
            } else {
                memcpy(counterpart(h->net, h->stores[i], w), from, (size_t)r->length * kernels->real_size);
            }
        }
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

/* Gradients of all ranks ----------------------------------------------------------------------------- */

static int travel(const bpk_shards *h, bpk_stage stage, int l) {
    return h->link.travel(h->link.context, stage, l);
}

void shards_send(const step *s, int l) {
    const bpk_shards *h = s->request->shards;
    if (h->ranks > 1) travel(h, BPK_SEND, l);
}

/* A node's gradients as its rank has stored them. */
static const void *stored_node(const bpk_shards *h, int64_t first, ptrdiff_t at) {
    const int rank = (int)(first / h->count);
    tree_node nodes[MOST_NODES];
    const int count = tree_nodes(h->shards, rank * h->count, h->count, nodes);
    int i = 0;
    while (i < count - 1 && nodes[i].first != first) i++;
    return element(h->net->kernels, h->link.nodes[rank], i * h->net->size + at);
}

/* Whether one rank has all shards of a node: as it is reached from above, one of its nodes. */
static int has_one_rank(const bpk_shards *h, int64_t first, int level) {
    const int64_t end = first + ((int64_t)1 << level), last = end < h->shards ? end : h->shards;
    return last <= (first / h->count + 1) * h->count;
}

/* sum (n) = elements `at` to `at` + n of a node's gradients. */
static void sum_ranks(const bpk_shards *h, const bpk_move *add, int64_t first, int level, ptrdiff_t at,
                      ptrdiff_t n, char *scratch, void *sum) {
    const bpk_kernels *kernels = h->net->kernels;
    if (has_one_rank(h, first, level)) {
        memcpy(sum, stored_node(h, first, at), (size_t)n * kernels->real_size);
        return;
    }
    const int64_t second = first + ((int64_t)1 << (level - 1));
    sum_ranks(h, add, first, level - 1, at, n, scratch, sum);
    if (second >= h->shards) return;
    if (has_one_rank(h, second, level - 1)) {
        kernels->move(add, n, stored_node(h, second, at), sum, NO_STATES);
        return;
    }
    void *other = element(kernels, scratch, (level - 1) * h->region);
    sum_ranks(h, add, second, level - 1, at, n, scratch, other);
    kernels->move(add, n, other, sum, NO_STATES);
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
    char *scratch = element(kernels, h->scratch, s->me.index * (h->levels + 1) * h->region);
    void *sum = element(kernels, scratch, h->levels * h->region);
    const bpk_move add = adding(1).weights;
    for (int l = h->net->count - 1; l >= 0; l--) {
        ptrdiff_t from, to;
        bpk_shards_segment(h->net, l, h->ranks, h->rank, &from, &to);
        share(s, &from, &to);
        for (ptrdiff_t n; from < to; from += n) {
            n = smaller(to - from, h->region);
            sum_ranks(h, &add, 0, (int)h->levels, from, n, scratch, sum);
            memcpy(element(kernels, h->link.results[h->rank], from), sum, (size_t)n * kernels->real_size);
        }
    }
}

/* Whether ranks exchange sums. Otherwise each adds up all elements as it spends them. */
static int has_results(const bpk_shards *h) { return h->link.results[h->rank] != NULL; }

bpk_status shards_reduce(step *s) {
    bpk_shards *h = s->request->shards;
    if (!s->me.index) h->agreed = travel(h, BPK_RECEIVE, 0);
    team_barrier(s->me);
    if (h->agreed) return BPK_STOPPED;
    if (!has_results(h)) return BPK_OK;
    sum_segments(s);
    team_barrier(s->me);
    if (!s->me.index) h->agreed = travel(h, BPK_SHARE, 0);
    team_barrier(s->me);
    return h->agreed ? BPK_STOPPED : BPK_OK;
}

/* The sum of all ranks' gradients, of `n` elements from `at` on in a rank's segment: at most a region. */
static const void *total(const step *s, int rank, ptrdiff_t at, ptrdiff_t n) {
    const bpk_shards *h = s->request->shards;
    const bpk_kernels *kernels = h->net->kernels;
    if (has_results(h)) return element(kernels, h->link.results[rank], at);
    char *scratch = element(kernels, h->scratch, s->me.index * (h->levels + 1) * h->region);
    void *sum = element(kernels, scratch, h->levels * h->region);
    const bpk_move add = adding(1).weights;
    sum_ranks(h, &add, 0, (int)h->levels, at, n, scratch, sum);
    return sum;
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
                const void *sum = total(s, rank, from, n);
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
        net->kernels->move(move, n, total(s, rank, from, n),
                           element(net->kernels, net->stores[BPK_PARAMETERS], from), states);
    }
}

void shards_move(const step *s, const moves *all) {
    const bpk_shards *h = s->request->shards;
    const bpk_net *net = h->net;
    for (int l = 0; l < net->count; l++) {
        const net_layer *layer = &net->layers[l];
        const ptrdiff_t w = place_of(net, layer->w), b = place_of(net, layer->b);
        const moves own = net->has_groups ? layer_moves(all, layer->groups) : *all;
        for (int rank = 0; rank < h->ranks; rank++) {
            if (!is_frozen(layer, BPK_WEIGHTS)) move_segment(s, l, rank, w, b, &own.weights);
            if (!is_frozen(layer, BPK_BIASES)) move_segment(s, l, rank, b, b + layer->width, &own.biases);
        }
    }
}
