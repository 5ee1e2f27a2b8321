/* Parameters in memory of all ranks of a machine, of which each rank moves its own parts. */
#include "trainer/shared.h"

#include <string.h>

#include "platform/memory.h"
#include "trainer/backward.h"
#include "trainer/products.h"
#include "trainer/rank_barrier.h"

static ptrdiff_t pages(ptrdiff_t bytes) { return (bytes + RANKS_PAGE - 1) / RANKS_PAGE * RANKS_PAGE; }

ptrdiff_t bpk_shards_shared_size(const bpk_net *net, int stores) {
    const ptrdiff_t bytes = RANKS_PAGE + stores * (pages((ptrdiff_t)net_store_bytes(net)) + STAGGER);
    return bytes / (ptrdiff_t)net->kernels->real_size;
}

/* The place of the store number i of those that are lent. */
static void *lent_store(const bpk_shards *h, int i) {
    return element(h->net->kernels, h->link.shared, bpk_shards_shared_size(h->net, i));
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

int bpk_shards_lendable(const bpk_shards *h, const bpk_net *net, const bpk_request *request) {
    int count;
    const int stores = stores_of(&request->update, &count);
    if (!h->link.shared || count > h->link.stores || bpk_stores_gradients(&request->update) ||
        net->stores[BPK_AVERAGE])
        return 0;
    return stores;
}

bpk_status bpk_shards_lend(bpk_shards *h, bpk_net *net, int stores) {
    if (ranks_wait(h) != BPK_OK) return BPK_STOPPED; /* some may still take back */
    const ptrdiff_t lines = ((ptrdiff_t)net_store_bytes(net) + CACHE_LINE - 1) / CACHE_LINE;
    const ptrdiff_t from = lines * h->rank / h->ranks * CACHE_LINE;
    const ptrdiff_t to =
        smaller(lines * (h->rank + 1) / h->ranks * CACHE_LINE, (ptrdiff_t)net_store_bytes(net));
    for (int i = 0, n = 0; i < BPK_AVERAGE; i++)
        if (stores >> i & 1)
            memcpy((char *)lent_store(h, n++) + from, (char *)net->stores[i] + from, (size_t)(to - from));
    ranks_arrive(h);
    if (ranks_wait(h) != BPK_OK) return BPK_STOPPED;
    for (int i = 0, n = 0; i < BPK_AVERAGE; i++)
        if (stores >> i & 1) {
            h->kept[i] = net->stores[i];
            net->stores[i] = lent_store(h, n++);
        }
    h->kept_counts = net->counts;
    h->lent = stores;
    net_lay_out(net, net->stores[BPK_PARAMETERS]);
    return BPK_OK;
}

void bpk_shards_take_back(bpk_shards *h, bpk_net *net, int after_error) {
    if (after_error && h->link.shared) ranks_leave(h);
    if (!h->lent) return;
    for (int i = 0; i < BPK_AVERAGE; i++)
        if (h->lent >> i & 1) {
            if (!h->torn) memcpy(h->kept[i], net->stores[i], net_store_bytes(net));
            net->stores[i] = h->kept[i];
        }
    if (h->torn) net->counts = h->kept_counts;
    net_forget_bounds(net);
    net_lay_out(net, net->stores[BPK_PARAMETERS]);
    h->lent = 0;
    if (!after_error) ranks_arrive(h); /* nobody lends before all have read what this rank has */
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
    if (!s->me.index) h->stores = NULL;
    return ranks_meet(s);
}

bpk_status shared_update(step *s) {
    bpk_shards *h = s->request->shards;
    if (!s->me.index) {
        h->stores = h->own;
        h->adds = 0;
    }
    team_barrier(s->me);
    step_backward_others(s);
    if (meet(s) != BPK_OK) return BPK_STOPPED;
    step_backward_own(s);
    const bpk_status status = meet(s);
    if (status != BPK_OK && !s->me.index) h->torn = 1;
    return status;
}
