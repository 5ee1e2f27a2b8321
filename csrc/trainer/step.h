/* One step of training, evaluation or prediction. Every member of a team makes the same calls with a `step`
 * of its own. Defined in step.c; step_goes_back and step_sweeps in plan.c. */
#ifndef BPK_STEP_H
#define BPK_STEP_H

#include "platform/team.h"
#include "trainer/workspace.h"

typedef struct {
    const bpk_net *net;
    bpk_workspace *ws;
    const bpk_request *request;
    member me;
    ptrdiff_t rows;    /* block height: the rows of a full batch, or of a full tile */
    ptrdiff_t tile;    /* in training: the rows of a tile (row_tiles.h), or 0 */
    int training;      /* whether dropout and penalties apply */
    int wants_outputs; /* whether activations are wanted even of a batch of weight 0 */
    bpk_counts counts;
    bpk_cursor cursor;
    ptrdiff_t m;           /* rows of this batch: fewer than `rows` if it is a smaller last one */
    ptrdiff_t bad_row;     /* number in x and y; set with BPK_BAD_ROW */
    double weight;         /* sum of the sample weights of this batch */
    double loss, accuracy; /* weighted sums over this batch; in training, loss includes the penalties */
    int turn;              /* the mini-batch is ws->x[turn] */
    int looks_ahead;       /* whether this step computes activations of the next one (ahead.h) */
    int is_ahead;          /* whether x and layer 0's activations (or z) of this step exist already */
} step;

/* Gathers the next batch and computes the activations of the first `layers` layers. Other members may still
 * read the workspace when this returns: the caller passes a barrier before anything writes to it again. */
bpk_status step_forward(step *step, int layers);

/* step_forward through all layers, then the loss and, if with_delta, the last layer's delta. */
bpk_status step_loss(step *step, int with_delta);

/* Layer l's input: the mini-batch, or the activations below. */
static inline void *step_input(const step *s, int l) {
    return l ? s->ws->layers[l - 1].a : s->ws->x[s->turn];
}

/* The probability of dropout in the batch under way: of hidden layer l, or of the inputs. */
static inline double dropout_of(const step *s, int l) {
    const double *given = s->request->dropouts;
    return given ? given[s->cursor.updates * s->net->count + l] : s->net->layers[l].dropout;
}

static inline double input_dropout_of(const step *s) {
    return s->request->dropouts ? dropout_of(s, s->net->count - 1) : s->net->input_dropout;
}

/* The member's row of ws->rows_of_threads. */
static inline void *step_own_row(const step *s) {
    return element(s->net->kernels, s->ws->rows_of_threads, s->me.index * s->ws->row_size);
}

/* After step_forward, the losses of rows `from` to `to`, into the workspace; and into grad (rows of the
 * batch, outputs), with rows ldg apart, the derivative of the batch's loss with respect to these rows of the
 * last layer's activations, unless grad is NULL. */
void step_row_losses(const step *step, ptrdiff_t from, ptrdiff_t to, void *grad, ptrdiff_t ldg);

/* Dropout of the inputs, if the net has it, as of mini-batch number `batch`, on the member's rows of x (rows
 * of the batch, inputs), in blocks: the inputs, or the derivative of the loss with respect to them. */
void step_drop_inputs(const step *step, int64_t batch, void *x);

/* Adds the penalties to the loss of the batch. Passes a barrier. */
void step_add_penalties(step *step);

/* A matrix in blocks of this step's height, as a left operand. */
static inline bpk_left step_blocks(const step *s, const void *at) {
    return (bpk_left){.at = at, .rows = s->rows};
}

/* The steps of a team are broken off together. A stopped step has garbage in its workspace, and passes the
 * same barriers as any other. All members call this at the same places: before they change parameters, the
 * stored gradients of earlier batches, or results. */
static inline int step_stopped(const step *s) { return s->me.asks && team_agrees_to_stop(s->me); }

/* Whether training steps of that many rows compute all gradients before the update, so that they can be
 * broken off until then. They do if a step takes a fifth of a second or more, and has so many rows that
 * storing the gradients takes less than a hundredth of it. */
int step_goes_back(const bpk_net *net, ptrdiff_t rows);

/* Whether the weights of layer l are updated by the kernel `sweep`, in batches of that many rows. */
int step_sweeps(const bpk_net *net, int l, ptrdiff_t rows);

/* Copies one row of layer l's activations: out (layer's out), contiguous. */
void step_row(const step *step, int l, ptrdiff_t row, void *out);

/* Copies the member's rows of layer l's activations to their places in out (rows of the pass, layer's out).
 */
void step_copy_rows(const step *step, int l, void *out);

/* Rows `from` to `to` of the last layer's delta, which hold the derivative of the loss with respect to its
 * activations, are multiplied by s'. */
void step_out_delta(const step *step, ptrdiff_t from, ptrdiff_t to);

#endif
