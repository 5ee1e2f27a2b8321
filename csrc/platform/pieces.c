/* Threads for one short call, which take pieces of its work as they come. */
#include "platform/pieces.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "bpkern.h"
#include "platform/threads.h"

/* Pieces of a phase for each worker, at most: the last ones keep the others waiting. */
enum { PIECES = 8 };

/* Spins of a waiting thread before it yields its processor: some tens of microseconds. The thread it waits
 * for may be on the same processor. */
enum { SPINS = 1000 };

typedef struct {
    thread thread; /* first: its address is the helper's */
    pieces *all;
} helper;

struct pieces {
    void (*work)(void *context, worker *me);
    void *context;
    int count;
    atomic_ptrdiff_t taken, done; /* pieces, of all phases together */
    atomic_int begun;             /* helpers that have begun, or CLOSED and more */
    atomic_int ended;             /* helpers that have begun, and ended */
    atomic_int owners;            /* threads that will still read this structure */
    helper helpers[];
};

/* Added to `begun` when the work is done: helpers that come later have no part in it. */
enum { CLOSED = 1 << 20 };

/* Helpers of all calls that have not begun. While there are any, the other processors are busy, and further
 * helpers would not begin either. */
static atomic_int waiting;

static void forget_waiting(void) { atomic_store(&waiting, 0); }

static int take(worker *me, ptrdiff_t count) {
    pieces *all = me->all;
    if (me->own >= 0) atomic_fetch_add_explicit(&all->done, 1, memory_order_release);
    const ptrdiff_t end = me->passed + count;
    ptrdiff_t next = atomic_load_explicit(&all->taken, memory_order_relaxed);
    while (next < end)
        if (atomic_compare_exchange_weak_explicit(&all->taken, &next, next + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            me->own = next - me->passed;
            return 1;
        }
    int spins = SPINS;
    while (atomic_load_explicit(&all->done, memory_order_acquire) < end) thread_wait(&spins);
    me->passed = end;
    me->own = -1;
    return 0;
}

int take_piece(worker *me, ptrdiff_t n, ptrdiff_t grain, ptrdiff_t *from, ptrdiff_t *to) {
    const ptrdiff_t grains = (n + grain - 1) / grain;
    if (me->count == 1) {
        me->own = me->own < 0 && grains > 0 ? 0 : -1;
        *from = 0;
        *to = n;
        return me->own == 0;
    }
    const ptrdiff_t most = (ptrdiff_t)PIECES * me->count, count = grains < most ? grains : most;
    if (!take(me, count)) return 0;
    const ptrdiff_t least = grains / count, over = grains % count, i = me->own;
    *from = (i * least + (i < over ? i : over)) * grain;
    *to = *from + (least + (i < over)) * grain;
    if (*to > n) *to = n;
    return 1;
}

static void disown(pieces *all) {
    if (atomic_fetch_sub_explicit(&all->owners, 1, memory_order_acq_rel) == 1) free(all);
}

static void helper_main(thread *thread) {
    pieces *all = ((helper *)thread)->all;
    atomic_fetch_sub_explicit(&waiting, 1, memory_order_relaxed);
    int index = 1 + atomic_fetch_add_explicit(&all->begun, 1, memory_order_acq_rel);
    if (index < CLOSED) {
        worker me = {.all = all, .index = index, .count = all->count, .own = -1};
        all->work(all->context, &me);
        atomic_fetch_add_explicit(&all->ended, 1, memory_order_release);
    }
    disown(all);
}

static void start_helpers(pieces *all, int wanted) {
    for (int i = 0; i < wanted; i++) {
        helper *next = &all->helpers[i];
        *next = (helper){.thread = {.run = helper_main}, .all = all};
        atomic_fetch_add_explicit(&all->owners, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&waiting, 1, memory_order_relaxed);
        if (!thread_start(&next->thread)) {
            atomic_fetch_sub_explicit(&waiting, 1, memory_order_relaxed);
            atomic_fetch_sub_explicit(&all->owners, 1, memory_order_relaxed);
            break;
        }
        thread_detach(&next->thread);
    }
}

void pieces_run(int threads, void (*work)(void *context, worker *me), void *context) {
    static atomic_flag forgets = ATOMIC_FLAG_INIT;
    worker me = {.count = 1, .own = -1};
    if (threads > BPK_MAX_THREADS) threads = BPK_MAX_THREADS;
    if (threads > 1 && atomic_load_explicit(&waiting, memory_order_relaxed) == 0)
        me.all = malloc(sizeof *me.all + (size_t)(threads - 1) * sizeof(helper));
    if (!me.all) {
        work(context, &me);
        return;
    }
    if (!atomic_flag_test_and_set(&forgets)) call_after_fork(forget_waiting);
    me.count = threads;
    *me.all = (pieces){.work = work, .context = context, .count = threads, .owners = 1};
    start_helpers(me.all, threads - 1);
    work(context, &me);
    int begun = atomic_fetch_add_explicit(&me.all->begun, CLOSED, memory_order_acq_rel), spins = SPINS;
    while (atomic_load_explicit(&me.all->ended, memory_order_acquire) < begun) thread_wait(&spins);
    disown(me.all);
}
