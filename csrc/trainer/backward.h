/* The backward pass of a step. Defined in backward.c. */
#ifndef BPK_BACKWARD_H
#define BPK_BACKWARD_H

#include "trainer/step.h"

/* From the last layer's delta down to the first layer: computes the deltas and updates the parameters. Not
 * broken off if the team is stopped. */
void step_backward_update(step *step);

/* Of which parameters gradients are stored: of those that training changes; of all; of all, and the
 * derivative of the loss with respect to x, in x_delta of the workspace. */
typedef enum { OF_TRAINED, OF_ALL, OF_ALL_AND_X } gradients_of;

/* The same, but adds `factor` times the gradients to the stored gradients. */
void step_backward_store(const step *step, double factor, gradients_of wanted);

/* The two halves of a step whose parameters are lent (shared.h): the deltas, and the gradients of the other
 * ranks' parts, which are stored; and the update of this rank's own parts. */
void step_backward_others(const step *step);
void step_backward_own(const step *step);

#endif
