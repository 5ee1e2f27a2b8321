/* Barriers of ranks that see the same memory. Defined in rank_barrier.c.
 *
 * All ranks pass them in the same order: each is passed by all, or by none if a rank has left before all have
 * arrived. So all ranks find alike what of a step has been done when one of them ends. */
#ifndef BPK_RANK_BARRIER_H
#define BPK_RANK_BARRIER_H

#include "trainer/shards.h"

/* Bytes at the beginning of the memory of all ranks: a number in a page of its own. */
enum { RANKS_PAGE = 4096 };

/* This rank is at the next barrier, and has arrived unless a rank has left. */
void ranks_arrive(bpk_shards *h);

/* Waits until all ranks have arrived at this rank's barrier. Returns BPK_STOPPED if one has left before. */
bpk_status ranks_wait(bpk_shards *h);

/* This rank arrives nowhere any more. Those that wait for it pass no barrier. */
void ranks_leave(bpk_shards *h);

/* The members of this rank's team arrive together, and wait. All of them get what member 0 has found. Passes
 * a barrier of the team at the end, and none before: member 0 arrives when it comes. */
bpk_status ranks_meet(const step *s);

#endif
