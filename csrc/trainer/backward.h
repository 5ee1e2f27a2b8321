/* The backward pass of a step. Defined in backward.c. */
#ifndef BPK_BACKWARD_H
#define BPK_BACKWARD_H

#include "trainer/step.h"

/* From the last layer's delta down to the first layer: computes the deltas and updates the parameters. Not
 * broken off if the team is stopped. */
void step_backward_update(step *step);

/* The same, but adds `factor` times the gradients to the stored gradients. With wants_x, also computes the
 * derivative of the loss with respect to x: x_delta of the workspace. */
void step_backward_store(const step *step, double factor, int wants_x);

#endif
