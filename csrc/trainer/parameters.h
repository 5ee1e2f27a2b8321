/* Operations on all parameters. Every member of a team makes the same calls, and does its share of the work.
 * Defined in parameters.c. */
#ifndef BPK_PARAMETERS_H
#define BPK_PARAMETERS_H

#include "trainer/step.h"

/* The number of chunks of the parameters. Members share whole chunks, and the workspace has a partial sum for
 * each. */
ptrdiff_t count_chunks(const bpk_net *net);

/* Computes the member's partial sums of l1 sum |W| + l2 sum W^2 in the workspace. */
void step_penalties(const step *step, double l1, double l2);

/* The sum of all partial sums. A barrier must precede it: all members have computed theirs. */
double step_sums(const step *step);

/* Sets the member's part of the stored gradients to zero. A barrier must follow. */
void step_clear_gradients(const step *step);

/* Makes an update by `scale` times the stored gradients, which are zero afterwards. */
void step_spend(const step *step, double scale);

/* Makes the update that step_backward_update would make, by the stored gradients of this batch. Does not set
 * them to zero. */
void step_move(const step *step);

/* Updates the average of the parameters, if it exists. */
void step_average(const step *step);

#endif
