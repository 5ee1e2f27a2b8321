/* Ranks of one machine whose parameters and optimiser's states are, for the length of a run, in memory that
 * all of them see. Each rank moves its own parts, by the gradients of all ranks, and reads all. Defined in
 * shared.c.
 *
 * A step has two halves after the loss. In the first, a rank goes down the layers: it computes the deltas,
 * for which it reads all weights, and stores its gradients of the other ranks' parts. When all ranks have
 * done so, it computes its gradients of its own parts, adds those that the others have stored, and moves the
 * parameters. Its own gradients are never stored, no parameter is moved twice, and none travels.
 *
 * The parameters' own memory keeps the numbers from before the run until bpk_shards_take_back.
 *
 * Ranks meet between and after these halves (rank_barrier.h): all find alike that a step has ended in the
 * first, in which no parameter is moved, or in the second. */
#ifndef BPK_SHARED_H
#define BPK_SHARED_H

#include "trainer/shards.h"

/* Which parts of the parameters a backward pass updates or stores: all, those that this rank moves, or those
 * that other ranks move. */
typedef enum { ALL_PARTS, OWN_PARTS, OTHERS_PARTS } shared_parts;

/* Whether this rank moves a part of a layer, whose first parameter is at `first`. */
int shared_is_own(const bpk_shards *h, const net_layer *layer, const void *first);

/* Makes the update of a step, if the parameters are lent. Returns BPK_STOPPED if a rank has left. Passes
 * barriers. */
bpk_status shared_update(step *step);

#endif
