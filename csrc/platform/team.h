/* Threads for one call: the caller and its helpers each do a share of the same work. The helpers end before
 * the call returns. Defined in team.c. */
#ifndef BPK_TEAM_H
#define BPK_TEAM_H

#include <stddef.h>

typedef struct team team;

typedef struct {
    team *team;
    int index, count; /* member 0 is the caller */
} member;

/* Calls work(context, member) in `threads` threads at once, or in fewer if the system cannot start them. */
void team_run(int threads, void (*work)(void *context, member me), void *context);

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
