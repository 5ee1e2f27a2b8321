/* One step of training, evaluation or prediction. Every member of a team makes the same calls with a `step`
 * of its own. Defined in step.c. */
#ifndef BPK_STEP_H
#define BPK_STEP_H

#include "platform/team.h"
#include "trainer/workspace.h"

typedef struct {
    const bpk_net *net;
    bpk_workspace *ws;
    const bpk_request *request;
    member me;
    ptrdiff_t rows; /* height of blocks: the rows of a whole batch */
    int training;   /* whether dropout applies */
    bpk_counts counts;
    bpk_cursor cursor;
    ptrdiff_t m;       /* rows of this batch */
    ptrdiff_t bad_row; /* in x and y, with BPK_BAD_ROW */
    double loss, accuracy,
        weight; /* sums over the rows of this batch; loss includes the penalties in training */
} step;

/* Gathers the next batch and computes the activations of the first `layers` layers. The caller lets all
 * members meet before the workspace changes again: some may still be reading. */
bpk_status step_forward(step *step, int layers);

/* The same through all layers, then the loss; with_delta also computes the last layer's delta. */
bpk_status step_loss(step *step, int with_delta);

/* Layer l's input: the mini-batch, or the activations below. */
static inline void *step_input(const step *s, int l) { return l ? s->ws->layers[l - 1].a : s->ws->x; }

/* A matrix in blocks of this step's height, as a left operand. */
static inline bpk_left step_blocks(const step *s, const void *at) {
    return (bpk_left){.at = at, .rows = s->rows};
}

/* A row of layer l's activations, plain: out (layer's out). */
void step_row(const step *step, int l, ptrdiff_t row, void *out);

/* Rows `from` to `to` of the last layer's delta, from the derivative of the loss by its activations in plain
 * (rows, width), which is overwritten. */
void step_out_delta(const step *step, void *plain, ptrdiff_t from, ptrdiff_t to);

#endif
