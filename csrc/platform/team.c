/* Threads that last for one call. Because each call creates its own, they need no shutdown, do not hinder a
 * fork of the process, and never spin between calls. */
#include "platform/team.h"

#include <stdatomic.h>

#include "bpkern.h"
#include "platform/clock.h"
#include "platform/threads.h"

/* Spins of a waiting thread before it yields its processor: a few milliseconds. A thread that yielded sooner
 * would look idle, and some schedulers then move the whole team to one processor. */
enum { SPINS = 100000 };

struct team {
    void (*work)(void *context, member me);
    void *context;
    int count, spins; /* helpers read them only after `open` is set */
    team_stop stop;
    double next_ask; /* time (clock.h) of the next question; read and written by member 0 alone */
    atomic_int stopped;
    atomic_int open;
    atomic_int arrived;   /* members at the current barrier */
    atomic_uint barriers; /* number of barriers that all members have passed */
};

typedef struct {
    thread thread; /* first: its address is the helper's */
    team *team;
    int index;
} helper;

void team_barrier(member me) {
    if (me.count == 1) return;
    team *team = me.team;
    unsigned barrier = atomic_load_explicit(&team->barriers, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) == me.count - 1) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&team->barriers, barrier + 1, memory_order_release);
        return;
    }
    int spins = team->spins;
    while (atomic_load_explicit(&team->barriers, memory_order_acquire) == barrier) thread_wait(&spins);
}

static member member_of(team *team, int index) {
    return (member){team, (short)index, (short)team->count, team->stop.ask != NULL};
}

/* The time between two questions whether to stop, in seconds. */
static const double STOP_SECONDS = 0.1;

int team_asks(member me) {
    team *team = me.team;
    if (!me.index && now() >= team->next_ask) {
        if (team->stop.ask(team->stop.context))
            atomic_store_explicit(&team->stopped, 1, memory_order_relaxed);
        team->next_ask = now() + STOP_SECONDS;
    }
    return atomic_load_explicit(&team->stopped, memory_order_relaxed);
}

int team_agrees_to_stop(member me) {
    team_barrier(me);
    int stopped = atomic_load_explicit(&me.team->stopped, memory_order_relaxed);
    team_barrier(me);
    return stopped;
}

static void helper_main(thread *thread) {
    helper *self = (helper *)thread;
    team *team = self->team;
    int spins = SPINS;
    while (!atomic_load_explicit(&team->open, memory_order_acquire)) thread_wait(&spins);
    team->work(team->context, member_of(team, self->index));
}

/* Starts up to `wanted` helpers and returns their number. */
static int start_helpers(team *team, int wanted, helper *helpers) {
    int started = 0;
    for (; started < wanted; started++) {
        helper *next = &helpers[started];
        *next = (helper){.thread = {.run = helper_main}, .team = team, .index = started + 1};
        if (!thread_start(&next->thread)) break;
    }
    return started;
}

void team_run(int threads, void (*work)(void *context, member me), void *context, team_stop stop) {
    team team = {.work = work, .context = context, .count = 1, .stop = stop};
    if (stop.ask) team.next_ask = now() + STOP_SECONDS;
    helper helpers[BPK_MAX_THREADS - 1];
    int wanted = threads < BPK_MAX_THREADS ? threads - 1 : BPK_MAX_THREADS - 1;
    int started = wanted > 0 ? start_helpers(&team, wanted, helpers) : 0;
    team.count = started + 1;
    /* With fewer processors than threads, spinning would keep the others from running. */
    if (started) team.spins = bpk_processors() < team.count ? 0 : SPINS;
    atomic_store_explicit(&team.open, 1, memory_order_release);
    work(context, member_of(&team, 0));
    for (int i = 0; i < started; i++) thread_join(&helpers[i].thread);
}
