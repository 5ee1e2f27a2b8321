/* The input stage backward: the gradients of its parameters, and their update. As in backward.c, one member
 * computes the whole of a gradient: first those of the factors, a share of the columns each, then those of
 * the embeddings, a share of the pieces each. They are in memory before the update: it takes a share of each
 * group. */
#include <string.h>

#include "trainer/inputs_blocks.h"
#include "trainer/optimizer.h"

static void *gradient_at(const step *s, ptrdiff_t at) {
    return element(s->net->kernels, s->ws->input_gradients, at);
}

/* The factors' gradients, the sums over rows of embedded * delta; and delta <- delta * factors, the
 * derivative by `embedded`, if that is wanted. */
static void factors_backward(const step *s, int wants_delta) {
    const bpk_kernels *kernels = s->net->kernels;
    const net_inputs *inputs = s->net->inputs;
    ptrdiff_t from, to;
    team_share(s->me, inputs->width, kernels->vector, &from, &to);
    for (ptrdiff_t n; from < to && !team_stopped(s->me); from += n) {
        const columns_of_block c = block_at(s, inputs->width, from);
        n = smaller(c.left, to - from);
        void *delta = element(kernels, s->ws->x_delta, c.place);
        bpk_scale_args args = {.m = s->m,
                               .n = n,
                               .x = element(kernels, inputs_embedded(s), c.place),
                               .ldx = c.width,
                               .delta = delta,
                               .out = gradient_at(s, inputs->factors + from),
                               .ldo = c.width};
        kernels->scale_sums(&args);
        if (!wants_delta) continue;
        args.x = args.out = delta;
        args.factors = element(kernels, inputs->values, inputs->factors + from);
        kernels->scale(&args);
    }
}

static void zero(const step *s, ptrdiff_t at, ptrdiff_t n) {
    memset(gradient_at(s, at), 0, (size_t)n * s->net->kernels->real_size);
}

static void lookup_backward(const step *s, const input_piece *piece) {
    const bpk_kernels *kernels = s->net->kernels;
    const columns_of_block code = block_at(s, s->net->inputs->columns, piece->from);
    bpk_lookup_args args = {.m = s->m,
                            .codes = element(kernels, s->ws->gathered, code.place),
                            .ldc = code.width,
                            .ldt = piece->width};
    zero(s, piece->w, piece->categories * piece->width);
    for (ptrdiff_t j = 0; j < piece->width; j += args.n) {
        const columns_of_block c = block_at(s, s->net->inputs->width, piece->to + j);
        args.n = smaller(c.left, piece->width - j);
        args.table = gradient_at(s, piece->w + j);
        args.rows = element(kernels, s->ws->x_delta, c.place);
        args.ldr = c.width;
        kernels->lookup_add(&args);
    }
}

/* The place of rows from `from` on of a column of X in columns_delta, and the width of its block. */
static void *column_delta(const step *s, ptrdiff_t column, ptrdiff_t from, ptrdiff_t *width) {
    const columns_of_block c = block_at(s, s->net->inputs->columns, column);
    *width = c.width;
    return element(s->net->kernels, s->ws->columns_delta, c.place + from * c.width);
}

static void copy_backward(const step *s, const input_piece *piece) {
    const bpk_kernels *kernels = s->net->kernels;
    for (ptrdiff_t j = 0; j < piece->count; j++) {
        const columns_of_block c = block_at(s, s->net->inputs->width, piece->to + j);
        ptrdiff_t width;
        void *to = column_delta(s, piece->from + j, 0, &width);
        kernels->copy(s->m, 1, element(kernels, s->ws->x_delta, c.place), c.width, to, width);
    }
}

/* A code has no derivative: 0. */
static void code_backward(const step *s, const input_piece *piece) {
    ptrdiff_t width;
    char *to = column_delta(s, piece->from, 0, &width);
    for (ptrdiff_t i = 0; i < s->m; i++)
        memset(element(s->net->kernels, to, i * width), 0, s->net->kernels->real_size);
}

static void periodic_backward(const step *s, const input_piece *piece, int wants_x) {
    const bpk_kernels *kernels = s->net->kernels;
    const ptrdiff_t linear = piece->width - 1;
    void *x = own_scratch(s), *delta = element(kernels, x, PIECE_ROWS),
         *dx = element(kernels, delta, linear * PIECE_ROWS);
    bpk_periodic_args args = periodic_args(s->net, piece, s->net->inputs->values, x, delta);
    args.dw = gradient_at(s, piece->w);
    args.db = gradient_at(s, piece->b);
    args.dw2 = gradient_at(s, piece->w2);
    args.db2 = gradient_at(s, piece->b2);
    zero(s, piece->w, piece->hidden);
    zero(s, piece->b, piece->hidden);
    zero(s, piece->w2, piece->hidden * linear);
    zero(s, piece->b2, linear);
    for (ptrdiff_t from = 0; from < s->m; from += args.m) {
        args.m = smaller(s->m - from, PIECE_ROWS);
        gathered_column(s, piece->from, from, args.m, x);
        blocks_to_scratch(s, s->ws->x_delta, piece->to, linear, from, args.m, delta);
        if (wants_x) { /* the last output is x itself */
            args.dx = dx;
            blocks_to_scratch(s, s->ws->x_delta, piece->to + linear, 1, from, args.m, dx);
        }
        kernels->periodic_sums(&args);
        if (!wants_x) continue;
        ptrdiff_t width;
        void *to = column_delta(s, piece->from, from, &width);
        kernels->transpose(1, args.m, dx, PIECE_ROWS, to, width);
    }
}

static void piece_backward(const step *s, const input_piece *piece, int wants_x) {
    switch (piece->kind) {
        case INPUT_COPY:
            if (wants_x) copy_backward(s, piece);
            break;
        case INPUT_LOOKUP:
            lookup_backward(s, piece);
            if (wants_x) code_backward(s, piece);
            break;
        case INPUT_PERIODIC: periodic_backward(s, piece, wants_x); break;
    }
}

/* Moves the member's share of each group. */
static void move_groups(const step *s, const bpk_move *biases, void *gradients,
                        void *const stores[BPK_STATES]) {
    const bpk_net *net = s->net;
    const bpk_kernels *kernels = net->kernels;
    for (int g = 0; g < net->inputs->groups; g++) {
        const input_group *group = &net->inputs->group[g];
        const bpk_move move = gradients ? *biases : group_move(biases, &group->factors, 0);
        ptrdiff_t from, to;
        team_share(s->me, group->size, kernels->vector, &from, &to);
        if (from >= to) continue;
        const void *value = element(kernels, net->inputs->values, group->at + from);
        void *states[BPK_STATES];
        for (int i = 0; i < BPK_STATES; i++) states[i] = counterpart(net, stores[i], value);
        kernels->move(&move, to - from, gradient_at(s, group->at + from),
                      gradients ? counterpart(net, gradients, value) : (void *)value, states);
    }
}

void inputs_backward(const step *s, const bpk_move *move, void *gradients, void *const states[BPK_STATES],
                     int wants_x) {
    const net_inputs *inputs = s->net->inputs;
    const int wants_delta = inputs->embeds || wants_x; /* by `embedded` */
    team_barrier(s->me);
    if (inputs->factors >= 0) {
        factors_backward(s, wants_delta);
        team_barrier(s->me);
    }
    for (int p = s->me.index; wants_delta && p < inputs->pieces && !team_stopped(s->me); p += s->me.count)
        piece_backward(s, &inputs->piece[p], wants_x);
    if (wants_delta) team_barrier(s->me);
    if (!team_stopped(s->me)) move_groups(s, move, gradients, states);
}
