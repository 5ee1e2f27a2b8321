/* Threads for one call: the caller and its helpers each do a share of the same work. The helpers end before
 * the call returns. Defined in team.c. */
#ifndef BPK_TEAM_H
#define BPK_TEAM_H

#include <stddef.h>

typedef struct team team;

/* It has 16 bytes, so that it is passed in registers. */
typedef struct {
    team *team;
    short index, count; /* member 0 is the caller */
    int asks;           /* whether the team may be stopped; otherwise team_stopped returns 0 */
} member;

/* Tells whether the team should break off its work. Member 0 calls `ask` about ten times a second. */
typedef struct {
    int (*ask)(void *context); /* nonzero: yes; NULL: the team is never stopped */
    void *context;
} team_stop;

/* Calls work(context, member) in `threads` threads at once, or in fewer if the system cannot start them. */
void team_run(int threads, void (*work)(void *context, member me), void *context, team_stop stop);

/* team_stopped, if me.asks. */
int team_asks(member me);

/* Whether the work should be broken off. Members call it between parts of their work. One that gets 1 skips
 * the rest of its work, but none of the team's barriers. */
static inline int team_stopped(member me) { return me.asks && team_asks(me); }

/* Like team_stopped, but gives all members the same answer, and asks nobody. All members of a team that may
 * be stopped make this call together. */
int team_agrees_to_stop(member me);

/* A barrier: returns when every member has called it. All that members wrote before is then visible to all.
 * Every member must pass the same barriers. */
void team_barrier(member me);

/* The member's share of n items: `from` to `to`, exclusive. Shares begin at multiples of `grain`. */
static inline void team_share(member me, ptrdiff_t n, ptrdiff_t grain, ptrdiff_t *from, ptrdiff_t *to) {
    ptrdiff_t grains = (n + grain - 1) / grain, least = grains / me.count, over = grains % me.count;
    ptrdiff_t first = me.index * least + (me.index < over ? me.index : over);
    ptrdiff_t last = first + least + (me.index < over);
    *from = first * grain < n ? first * grain : n;
    *to = last * grain < n ? last * grain : n;
}

#endif
