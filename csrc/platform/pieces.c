/* Threads for one short call, which take pieces of its work as they come. */
#include "platform/pieces.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "bpkern.h"
#include "platform/clock.h"
#include "platform/memory.h"
#include "platform/threads.h"

/* Pieces in a worker's share of a phase, at most: the last ones keep the others waiting. */
enum { PIECES = 8 };

/* Spins of a waiting thread before it yields its processor: some tens of microseconds. The thread it waits
 * for may be on the same processor. */
enum { SPINS = 1000 };

/* Each worker begins with the pieces of its own share, so that what it wrote in the call before is likely to
 * be in its cache; and takes those of others when they are done. */
typedef struct {
    atomic_ptrdiff_t taken; /* pieces, of all phases together */
    char apart[CACHE_LINE - sizeof(atomic_ptrdiff_t)];
} share;

typedef struct {
    thread thread; /* first: its address is the helper's */
    pieces *all;
} helper;

struct pieces {
    void (*work)(void *context, worker *me);
    void *context;
    int count;
    share *shares;         /* one for each worker, stored after the helpers */
    atomic_ptrdiff_t done; /* pieces, of all phases and shares together */
    atomic_int begun;      /* helpers that have begun, or CLOSED and more */
    atomic_int ended;      /* helpers that have begun, and ended */
    atomic_int owners;     /* threads that will still read this structure */
    helper helpers[];
};

/* Added to `begun` when the work is done: helpers that come later have no part in it. */
enum { CLOSED = 1 << 20 };

/* Helpers of all calls that have not begun. While there are any, the other processors are busy, and further
 * helpers would not begin either. */
static atomic_int waiting;

/* A helper whose work is done lingers: it spins for about as long as starting a thread takes. If a call comes
 * in this time, it saves the start; if not, the wait has about doubled the start's cost. A helper lingers in
 * a place, through which a call hands over its work: a place holds NOBODY, LINGERS, or the address of the
 * work. */
#define LINGER_SECONDS 2e-4
enum { PLACES = 64, NOBODY = 0, LINGERS = 1, SPINS_PER_LOOK = 32 /* at the clock */ };

static atomic_uintptr_t places[PLACES];

/* Before a fork: Python warns if a process that forks has other threads. */
static void dismiss_helpers(void) {
    for (int i = 0; i < PLACES; i++) {
        uintptr_t held = LINGERS;
        atomic_compare_exchange_strong(&places[i], &held, NOBODY);
    }
}

/* In a child process, no helper exists. */
static void forget_helpers(void) {
    atomic_store(&waiting, 0);
    for (int i = 0; i < PLACES; i++) atomic_store(&places[i], NOBODY);
}

/* Takes a piece of a phase in which each share has `count` pieces. */
static int take(worker *me, ptrdiff_t count) {
    pieces *all = me->all;
    if (me->own >= 0) atomic_fetch_add_explicit(&all->done, 1, memory_order_release);
    const ptrdiff_t end = me->passed + count;
    for (int i = 0; i < me->count; i++) {
        const int of = (me->index + i) % me->count;
        atomic_ptrdiff_t *taken = &all->shares[of].taken;
        ptrdiff_t next = atomic_load_explicit(taken, memory_order_relaxed);
        while (next < end)
            if (atomic_compare_exchange_weak_explicit(taken, &next, next + 1, memory_order_relaxed,
                                                      memory_order_relaxed)) {
                me->own = of * count + next - me->passed;
                return 1;
            }
    }
    int spins = SPINS;
    while (atomic_load_explicit(&all->done, memory_order_acquire) < end * me->count) thread_wait(&spins);
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
    const ptrdiff_t each = (grains + me->count - 1) / me->count, count = each < PIECES ? each : PIECES;
    const ptrdiff_t least = count ? grains / (count * me->count) : 0,
                    over = grains - least * count * me->count;
    while (take(me, count)) {
        const ptrdiff_t i = me->own;
        *from = (i * least + (i < over ? i : over)) * grain;
        *to = *from + (least + (i < over)) * grain;
        if (*to > n) *to = n;
        if (*from < *to) return 1; /* the last pieces of few grains are empty */
    }
    return 0;
}

static void disown(pieces *all) {
    if (atomic_fetch_sub_explicit(&all->owners, 1, memory_order_acq_rel) == 1) free(all);
}

static void help(pieces *all) {
    int index = 1 + atomic_fetch_add_explicit(&all->begun, 1, memory_order_acq_rel);
    if (index < CLOSED) {
        worker me = {.all = all, .index = index, .count = all->count, .own = -1};
        all->work(all->context, &me);
        atomic_fetch_add_explicit(&all->ended, 1, memory_order_release);
    }
    disown(all);
}

/* The next work of a helper; NULL if none comes in time, or no place is left. */
static pieces *linger(void) {
    for (int i = 0; i < PLACES; i++) {
        uintptr_t held = NOBODY;
        if (!atomic_compare_exchange_strong(&places[i], &held, LINGERS)) continue;
        const double end = now() + LINGER_SECONDS;
        do {
            int spins = SPINS_PER_LOOK;
            while (spins > 0 && atomic_load_explicit(&places[i], memory_order_relaxed) == LINGERS)
                thread_wait(&spins);
        } while (atomic_load_explicit(&places[i], memory_order_relaxed) == LINGERS && now() < end);
        held = atomic_exchange_explicit(&places[i], NOBODY, memory_order_acq_rel);
        return held > LINGERS ? (pieces *)held : NULL;
    }
    return NULL;
}

static void helper_main(thread *thread) {
    pieces *all = ((helper *)thread)->all;
    atomic_fetch_sub_explicit(&waiting, 1, memory_order_relaxed);
    for (; all; all = linger()) help(all);
}

/* Hands the work to up to `wanted` helpers that linger. Returns their number. */
static int recall_helpers(pieces *all, int wanted) {
    int found = 0;
    for (int i = 0; i < PLACES && found < wanted; i++) {
        uintptr_t held = LINGERS;
        if (atomic_load_explicit(&places[i], memory_order_relaxed) != LINGERS) continue;
        atomic_fetch_add_explicit(&all->owners, 1, memory_order_relaxed);
        if (atomic_compare_exchange_strong(&places[i], &held, (uintptr_t)all))
            found++;
        else
            atomic_fetch_sub_explicit(&all->owners, 1, memory_order_relaxed);
    }
    return found;
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
    const size_t helpers = (size_t)(threads - 1) * sizeof(helper), shares = (size_t)threads * sizeof(share);
    if (threads > 1 && atomic_load_explicit(&waiting, memory_order_relaxed) == 0)
        me.all = malloc(sizeof *me.all + helpers + shares);
    if (!me.all) {
        work(context, &me);
        return;
    }
    if (!atomic_flag_test_and_set(&forgets)) call_around_fork(dismiss_helpers, forget_helpers);
    me.count = threads;
    *me.all = (pieces){.work = work,
                       .context = context,
                       .count = threads,
                       .shares = (share *)&me.all->helpers[threads - 1],
                       .owners = 1};
    for (int i = 0; i < threads; i++) atomic_init(&me.all->shares[i].taken, 0);
    start_helpers(me.all, threads - 1 - recall_helpers(me.all, threads - 1));
    work(context, &me);
    int begun = atomic_fetch_add_explicit(&me.all->begun, CLOSED, memory_order_acq_rel), spins = SPINS;
    while (atomic_load_explicit(&me.all->ended, memory_order_acquire) < begun) thread_wait(&spins);
    disown(me.all);
}
