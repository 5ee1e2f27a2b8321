/* The next mini-batch's activations of layer 0, computed in the same pass over W as the update of layer 0.
 * Defined in ahead.c. */
#ifndef BPK_AHEAD_H
#define BPK_AHEAD_H

#include "trainer/step.h"

/* Whether steps of this run compute them. */
int ahead_serves(const bpk_net *net, const bpk_run *run);

/* Gathers the next mini-batch's x; returns its number of rows, or 0 if no step follows or the run is not
 * served. All members call this before layer 0's update, with a barrier between. */
ptrdiff_t ahead_gather(const step *s);

/* After that barrier: updates the member's blocks of W, and computes these blocks of the next mini-batch's
 * activations, for its `rows` rows. Returns 0 and does nothing if a gathered row was bad: the next step
 * gathers the mini-batch again, and reports it. `states` are the optimiser's stores. */
int ahead_update(const step *s, ptrdiff_t rows, const bpk_move *move, void *const states[BPK_STATES]);

#endif
