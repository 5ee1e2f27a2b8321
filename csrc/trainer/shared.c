/* Parameters in memory of all ranks of a machine, of which each rank moves its own parts. */
#include "trainer/shared.h"

#include <stdatomic.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/memory.h"
#include "platform/threads.h"
#include "trainer/backward.h"
#include "trainer/products.h"

/* The memory of all ranks: a number in a page of its own, and then the stores. */
enum { PAGE = 4096, STAGGER = 17 * CACHE_LINE }; /* as in net.c */

static ptrdiff_t pages(ptrdiff_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

static ptrdiff_t bytes_of_store(const bpk_net *net) { return net->size * (ptrdiff_t)net->kernels->real_size; }

ptrdiff_t bpk_shards_shared_size(const bpk_net *net, int stores) {
    const ptrdiff_t bytes = PAGE + stores * (pages(bytes_of_store(net)) + STAGGER);
    return bytes / (ptrdiff_t)net->kernels->real_size;
}

/* The place of the store number i of those that are lent. */
static void *lent_store(const bpk_shards *h, int i) {
    return element(h->net->kernels, h->link.shared, bpk_shards_shared_size(h->net, i));
}

/* Waiting ------------------------------------------------------------------------------------------- */

/* Spins of a waiting rank before it yields its processor, and the time between two looks for signals and for
 * ranks that have gone, in seconds. */
enum { SPINS = 20000 };
static const double LOOK_SECONDS = 0.01;

/* How often ranks have come to one of the places that all pass in the same order, all together; and whether
 * a rank has gone while others had not yet come. That is decided for all at once: those who have come to a
 * place all pass it, or none does. */
enum { GONE = 1 };
static const int64_t COME = 2;

static _Atomic int64_t *comings(const bpk_shards *h) { return h->link.shared; }

/* The value of the comings from which on this rank passes the place that it has come to. */
static int64_t passes(const bpk_shards *h) { return h->turn * h->ranks * COME; }

/* This rank has come to the next place, unless a rank has gone. */
static void come(bpk_shards *h) {
    h->turn++;
    int64_t value = atomic_load_explicit(comings(h), memory_order_relaxed);
    while (!(value & GONE) && !atomic_compare_exchange_weak(comings(h), &value, value + COME)) continue;
}

/* The link is broken unless all ranks have just come after all. */
static void go(bpk_shards *h) {
    int64_t value = atomic_load(comings(h));
    while (!(value & GONE) && value < passes(h) &&
           !atomic_compare_exchange_weak(comings(h), &value, value | GONE))
        continue;
    h->broken = value < passes(h);
}

/* Waits until all ranks have come to the place of this rank. */
static bpk_status wait_for_ranks(bpk_shards *h) {
    int spins = h->spins;
    double look = 0;
    while (!h->broken && atomic_load_explicit(comings(h), memory_order_acquire) < passes(h)) {
        thread_wait(&spins);
        if (spins > 0) continue;
        if (look == 0) look = now() + LOOK_SECONDS;
        if (now() < look) continue;
        look = 0;
        if (h->link.travel(h->link.context, BPK_LOOK, 0)) go(h);
    }
    return h->broken ? BPK_STOPPED : BPK_OK;
}

/* Lending ------------------------------------------------------------------------------------------- */

/* The stores of an update besides the average: a set of bits. */
static int stores_of(const bpk_update_settings *update, int *count) {
    int stores = 1 << BPK_PARAMETERS;
    *count = 1;
    for (int i = BPK_M; i < BPK_AVERAGE; i++)
        if (bpk_uses(&update->optimizer, i)) stores |= 1 << i, ++*count;
    return stores;
}

bpk_status bpk_shards_lend(bpk_shards *h, bpk_net *net, const bpk_request *request, int *lends) {
    int count;
    *lends = 0;
    const int stores = stores_of(&request->update, &count);
    if (!h->link.shared || count > h->link.stores || bpk_stores_gradients(&request->update) ||
        net->stores[BPK_AVERAGE])
        return BPK_OK;
    h->spins = bpk_processors() < h->ranks ? 0 : SPINS;
    if (wait_for_ranks(h) != BPK_OK) return BPK_STOPPED; /* some may still take back */
    const ptrdiff_t lines = (bytes_of_store(net) + CACHE_LINE - 1) / CACHE_LINE;
    const ptrdiff_t from = lines * h->rank / h->ranks * CACHE_LINE;
    const ptrdiff_t to = smaller(lines * (h->rank + 1) / h->ranks * CACHE_LINE, bytes_of_store(net));
    for (int i = 0, n = 0; i < BPK_AVERAGE; i++)
        if (stores >> i & 1)
            memcpy((char *)lent_store(h, n++) + from, (char *)net->stores[i] + from, (size_t)(to - from));
    come(h);
    if (wait_for_ranks(h) != BPK_OK) return BPK_STOPPED;
    for (int i = 0, n = 0; i < BPK_AVERAGE; i++)
        if (stores >> i & 1) {
            h->kept[i] = net->stores[i];
            net->stores[i] = lent_store(h, n++);
        }
    h->kept_counts = net->counts;
    h->lent = stores;
    *lends = 1;
    net_lay_out(net, net->stores[BPK_PARAMETERS]);
    return BPK_OK;
}

void bpk_shards_take_back(bpk_shards *h, bpk_net *net) {
    if (!h->lent) return;
    for (int i = 0; i < BPK_AVERAGE; i++)
        if (h->lent >> i & 1) {
            if (!h->broken) memcpy(h->kept[i], net->stores[i], (size_t)bytes_of_store(net));
            net->stores[i] = h->kept[i];
        }
    if (h->broken) net->counts = h->kept_counts; /* of an update that only some ranks have made */
    net_forget_bounds(net);
    net_lay_out(net, net->stores[BPK_PARAMETERS]);
    h->lent = 0;
    come(h);
}

/* Steps --------------------------------------------------------------------------------------------- */

int shared_is_own(const bpk_shards *h, const net_layer *layer, const void *first) {
    const ptrdiff_t size = (const char *)layer->b - (const char *)layer->w +
                           layer->width * (ptrdiff_t)h->net->kernels->real_size;
    return ((const char *)first - (const char *)layer->w) * h->ranks / size == h->rank;
}

/* All ranks meet. */
static bpk_status meet(step *s) {
    bpk_shards *h = s->request->shards;
    team_barrier(s->me);
    if (!s->me.index) {
        come(h);
        wait_for_ranks(h);
        h->stores = NULL;
    }
    team_barrier(s->me);
    return h->broken ? BPK_STOPPED : BPK_OK;
}

bpk_status shared_update(step *s) {
    bpk_shards *h = s->request->shards;
    void *own[MOST_NODES];
    for (int i = 0; i < h->nodes; i++)
        own[i] = element(h->net->kernels, h->link.nodes[h->rank], i * h->net->size);
    if (!s->me.index) {
        h->stores = own;
        h->adds = 0;
    }
    team_barrier(s->me);
    step_backward_others(s);
    if (meet(s) != BPK_OK) return BPK_STOPPED;
    step_backward_own(s);
    return meet(s);
}
