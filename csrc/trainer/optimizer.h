/* From an optimiser's settings to one update. Defined in optimizer.c. */
#ifndef BPK_OPTIMIZER_H
#define BPK_OPTIMIZER_H

#include "kernels/kernels.h"

/* How weights and biases move in one update: they differ in the penalties. */
typedef struct {
    bpk_move weights, biases;
} moves;

/* The next update's, if a batch of that weight is all it consists of. */
moves next_moves(const bpk_request *request, bpk_counts counts, ptrdiff_t updates, double weight);

/* The factor of the penalties in a batch of that weight. */
static inline double penalty_part(const bpk_update_settings *update, double weight) {
    return update->penalty_per_weight ? 1 / weight : 1;
}

#endif
