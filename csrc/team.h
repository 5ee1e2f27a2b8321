/* Threads for the length of one call: the caller and as many more as it asks for do the same work, each its
 * share of it, and are gone when the call returns. */
#ifndef BPK_TEAM_H
#define BPK_TEAM_H

#include <stddef.h>

typedef struct team team;

typedef struct {
    team *team;
    int index, count; /* member 0 is the caller */
} member;

/* Calls work(context, member) in `threads` threads at once, or in fewer where the system has no more. */
void team_run(int threads, void (*work)(void *context, member me), void *context);

/* Returns once every member has come here; what they wrote before is seen by all. */
void team_barrier(member me);

/* Member `me`'s share from ... to of n items, in whole grains. */
static inline void team_share(member me, ptrdiff_t n, ptrdiff_t grain, ptrdiff_t *from, ptrdiff_t *to) {
    ptrdiff_t grains = (n + grain - 1) / grain, least = grains / me.count, over = grains % me.count;
    ptrdiff_t first = me.index * least + (me.index < over ? me.index : over);
    ptrdiff_t last = first + least + (me.index < over);
    *from = first * grain < n ? first * grain : n;
    *to = last * grain < n ? last * grain : n;
}

#endif
