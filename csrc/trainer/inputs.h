/* The input stage of a network: what stands between the mini-batch and the inputs of layer 0. Defined in
 * inputs.c (its parts and its forward half) and inputs_backward.c.
 *
 *     gathered (rows, columns of X)  ->  embedded (rows, width)  ->  x (rows, width), the inputs of layer 0
 *
 * Embeddings replace columns, each at its place; then factors multiply all of them. Without embeddings,
 * `embedded` is `gathered`; without factors, x is `embedded`. All three are in blocks. */
#ifndef BPK_INPUTS_H
#define BPK_INPUTS_H

#include "trainer/step.h"

/* The parameters of one bpk_input, and the factors by which they are updated. */
typedef struct {
    ptrdiff_t at, size; /* in the parameters of the stage */
    bpk_group factors;
} input_group;

typedef enum { INPUT_COPY, INPUT_LOOKUP, INPUT_PERIODIC } input_kind;

/* Columns of X from `from` on that become columns of the inputs from `to` on: `count` of them are copied, or
 * one is embedded in `width` columns. */
typedef struct {
    input_kind kind;
    ptrdiff_t from, to, count, width;
    ptrdiff_t categories;   /* of a lookup */
    ptrdiff_t hidden;       /* of a periodic embedding, whose last output is the column itself */
    ptrdiff_t w, b, w2, b2; /* where the parameters of the column begin; w also of a lookup's table */
} input_piece;

struct net_inputs {
    ptrdiff_t columns, width; /* of X and of layer 0 */
    ptrdiff_t size;           /* number of parameters */
    ptrdiff_t factors;        /* where the factors begin; -1 without factors */
    int embeds;               /* whether there are embeddings */
    void *values;             /* (size,) in the store of the parameters */
    int pieces, groups;
    input_piece *piece; /* (pieces,) in the order of the columns */
    input_group *group; /* (groups,) */
};

/* A new stage; NULL if memory runs out. To be freed with net_inputs_free. */
net_inputs *net_inputs_create(ptrdiff_t columns, int count, const bpk_input *inputs);
void net_inputs_free(net_inputs *inputs);

/* The elements of scratch memory that a member needs. */
ptrdiff_t inputs_scratch(const net_inputs *inputs);

/* The work of the stage in a step over that many rows (plan.c). */
double inputs_work(const net_inputs *inputs, ptrdiff_t rows, int training);

/* The first of the gathered rows `from` to `to` that has a code which its table does not have, or -1. */
ptrdiff_t inputs_bad_row(const step *step, ptrdiff_t from, ptrdiff_t to);

/* Computes the inputs of layer 0 with the parameters of a store: the member's rows, which it has gathered
 * itself. A barrier must follow. */
void inputs_forward(const step *step, const void *store);

/* From the derivative of the loss by the inputs of layer 0 (x_delta), which it overwrites: moves the
 * parameters, or their stored gradients unless `gradients` is NULL. With wants_x, computes the derivative by
 * the columns of X as well (columns_delta): 0 for categories. Begins with a barrier. */
void inputs_backward(const step *step, const bpk_move *move, void *gradients, void *const states[BPK_STATES],
                     int wants_x);

#endif
