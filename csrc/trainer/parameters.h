/* Operations on all parameters alike. Every member of a team makes the same calls, and does its share.
 * Defined in parameters.c. */
#ifndef BPK_PARAMETERS_H
#define BPK_PARAMETERS_H

#include "trainer/step.h"

/* Chunks of the parameters: the unit of sharing, and of the partial sums in the workspace. */
ptrdiff_t count_chunks(const bpk_net *net);

/* The member's partial sums of l1 sum |W| + l2 sum W^2, in the workspace. */
void step_penalties(const step *step, double l1, double l2);

/* The sum of all partial sums, once all members have made theirs. */
double step_sums(const step *step);

/* An update by `scale` times the stored gradients, which are zero afterwards. */
void step_spend(const step *step, double scale);

/* Updates the average of the parameters, if it exists. */
void step_average(const step *step);

#endif
