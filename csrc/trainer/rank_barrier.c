/* Barriers of ranks that see the same memory. */
#include "trainer/rank_barrier.h"

#include <stdatomic.h>
#include <stdint.h>

#include "platform/clock.h"
#include "platform/threads.h"

/* Spins of a waiting rank before it yields its processor, and the time between two looks for signals and for
 * ranks that have left, in seconds. */
enum { SPINS = 20000 };
static const double LOOK_SECONDS = 0.01;

/* Arrivals at barriers, summed over ranks; bit 0: a rank has left, and none arrives any more.
 *
 * Atomics without locks work between processes as between threads (C11, 7.17.5). MPI maps the same memory for
 * all ranks, so that what a rank writes there is never in a copy that MPI_Win_sync would have to bring up to
 * date: acquire and release order the other numbers there, as they do for threads. */
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "a lock would be of one process");
enum { LEFT = 1, ARRIVAL = 2 };

static _Atomic uint32_t *arrivals(const bpk_shards *h) { return h->link.shared; }

/* Whether all ranks have arrived at the barrier at which this rank has. The number begins again at 0. */
static int is_passed(const bpk_shards *h, uint32_t value) {
    return (int32_t)(value - h->turn * (uint32_t)h->ranks * ARRIVAL) >= 0;
}

void ranks_arrive(bpk_shards *h) {
    h->turn++;
    uint32_t value = atomic_load_explicit(arrivals(h), memory_order_relaxed);
    while (!(value & LEFT) && !atomic_compare_exchange_weak(arrivals(h), &value, value + ARRIVAL)) continue;
}

/* This rank leaves its barrier, unless all others have just arrived. */
static void give_up(bpk_shards *h) {
    uint32_t value = atomic_load(arrivals(h));
    while (!is_passed(h, value) && !atomic_compare_exchange_weak(arrivals(h), &value, value | LEFT)) continue;
}

bpk_status ranks_wait(bpk_shards *h) {
    int spins = bpk_processors() < h->ranks * h->threads ? 0 : SPINS;
    double look = 0;
    for (;;) {
        const uint32_t value = atomic_load_explicit(arrivals(h), memory_order_acquire);
        if (is_passed(h, value)) return BPK_OK;
        if (value & LEFT) return BPK_STOPPED;
        thread_wait(&spins);
        if (spins > 0) continue;
        if (look == 0) look = now() + LOOK_SECONDS;
        if (now() < look) continue;
        look = 0;
        if (h->link.travel(h->link.context, BPK_LOOK, 0)) give_up(h);
    }
}

void ranks_leave(bpk_shards *h) { atomic_fetch_or(arrivals(h), LEFT); }

bpk_status ranks_meet(const step *s) {
    bpk_shards *h = s->request->shards;
    if (!s->me.index) {
        ranks_arrive(h);
        h->agreed = ranks_wait(h);
    }
    team_barrier(s->me);
    return (bpk_status)h->agreed;
}
