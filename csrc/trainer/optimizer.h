/* From an optimiser's settings to the numbers of one update. Defined in optimizer.c. */
#ifndef BPK_OPTIMIZER_H
#define BPK_OPTIMIZER_H

#include "kernels/kernels.h"

/* How weights and biases move in one update. They differ only in the penalties, unless they are the moves of
 * one layer, by the factors of its groups. */
typedef struct {
    bpk_move weights, biases;
    double penalty; /* the part of weights.decay that is a penalty's gradient, and has no factor */
} moves;

/* Sets `next` to the moves of the next update: number `updates` of the pass, counted from 0. `weight` is the
 * weight of its batch. */
void next_moves(const bpk_request *request, bpk_counts counts, ptrdiff_t updates, double weight, moves *next);

/* `all` as it is for a layer with these groups. */
moves layer_moves(const moves *all, const bpk_group groups[BPK_N_KINDS]);

/* One move, by a group's factors; `penalty` is the part of move->decay that comes from a penalty and has no
 * factor. */
bpk_move group_move(const bpk_move *move, const bpk_group *group, double penalty);

/* Moves that add `factor` times a gradient to stored gradients: plain SGD with a learning rate of -factor. */
moves adding(double factor);

/* The factor of the penalties in an update by batches of this weight. */
static inline double penalty_part(const bpk_update_settings *update, double weight) {
    return update->penalty_per_weight ? 1 / weight : 1;
}

#endif
