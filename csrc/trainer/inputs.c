/* The input stage: its parts, and its forward half. */
#include "trainer/inputs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/inputs_blocks.h"

/* Parts and parameters --------------------------------------------------------------------------------- */

static ptrdiff_t size_of(const bpk_input *input, ptrdiff_t width) {
    switch (input->kind) {
        case BPK_SCALE: return width;
        case BPK_LOOKUP: return input->categories * input->dim;
        case BPK_PERIODIC: return input->count * (2 * input->hidden + (input->hidden + 1) * (input->dim - 1));
    }
    return 0;
}

/* The piece of column number i of an embedding whose parameters begin at `at`. */
static input_piece embedding_of(const bpk_input *input, ptrdiff_t i, ptrdiff_t at) {
    const ptrdiff_t n = input->count, hidden = input->hidden, linear = input->dim - 1;
    input_piece piece = {.kind = input->kind == BPK_LOOKUP ? INPUT_LOOKUP : INPUT_PERIODIC,
                         .from = input->columns[i],
                         .count = 1,
                         .width = input->dim,
                         .categories = input->categories,
                         .hidden = hidden,
                         .w = at};
    if (piece.kind == INPUT_LOOKUP) return piece;
    piece.w = at + i * hidden;
    piece.b = at + (n + i) * hidden;
    piece.w2 = at + 2 * n * hidden + i * hidden * linear;
    piece.b2 = at + n * hidden * (2 + linear) + i * linear;
    return piece;
}

/* Fills piece[] in the order of the columns; those that no embedding takes are copied, adjacent ones
 * together. `found` (columns) has the piece of each embedded column, with a width of 0 for others. */
static void order_pieces(net_inputs *inputs, const input_piece *found) {
    for (ptrdiff_t j = 0; j < inputs->columns; j++) {
        input_piece *last = inputs->pieces ? &inputs->piece[inputs->pieces - 1] : NULL;
        if (found[j].width == 0 && last && last->kind == INPUT_COPY) {
            last->count++;
            last->width++;
            inputs->width++;
            continue;
        }
        input_piece *piece = &inputs->piece[inputs->pieces++];
        *piece =
            found[j].width ? found[j] : (input_piece){.kind = INPUT_COPY, .from = j, .count = 1, .width = 1};
        piece->to = inputs->width;
        inputs->width += piece->width;
    }
}

net_inputs *net_inputs_create(ptrdiff_t columns, int count, const bpk_input *given) {
    net_inputs *inputs = calloc(1, sizeof *inputs);
    input_piece *found = calloc((size_t)columns, sizeof *found);
    if (inputs) {
        inputs->piece = calloc((size_t)columns, sizeof *inputs->piece);
        inputs->group = calloc((size_t)count, sizeof *inputs->group);
    }
    if (!inputs || !found || !inputs->piece || !inputs->group) {
        free(found);
        net_inputs_free(inputs);
        return NULL;
    }
    inputs->columns = columns;
    inputs->factors = -1;
    for (int g = 0; g < count; g++) {
        const ptrdiff_t at = inputs->size;
        for (ptrdiff_t i = 0; given[g].kind != BPK_SCALE && i < given[g].count; i++)
            found[given[g].columns[i]] = embedding_of(&given[g], i, at);
        if (given[g].kind == BPK_SCALE) { /* the last one */
            inputs->factors = at;
            order_pieces(inputs, found);
        } else {
            inputs->embeds = 1;
        }
        inputs->group[inputs->groups++] =
            (input_group){.at = at,
                          .size = size_of(&given[g], inputs->width),
                          .factors = {.lr = given[g].lr_factor, .decay = given[g].decay_factor}};
        inputs->size += inputs->group[g].size;
    }
    if (inputs->factors < 0) order_pieces(inputs, found);
    free(found);
    return inputs;
}

void net_inputs_free(net_inputs *inputs) {
    if (!inputs) return;
    free(inputs->piece);
    free(inputs->group);
    free(inputs);
}

ptrdiff_t bpk_net_inputs_width(const bpk_net *net) { return net->layers[0].in; }

ptrdiff_t inputs_scratch(const net_inputs *inputs) {
    ptrdiff_t rows = 0;
    for (int p = 0; p < inputs->pieces; p++)
        if (inputs->piece[p].kind == INPUT_PERIODIC) rows = larger(rows, inputs->piece[p].width + 1);
    return rows * PIECE_ROWS;
}

/* A cosine takes about as long as ten operations. */
double inputs_work(const net_inputs *inputs, ptrdiff_t rows, int training) {
    double each = 0, passes = training ? 3 : 1;
    for (int p = 0; p < inputs->pieces; p++) {
        const input_piece *piece = &inputs->piece[p];
        each += (double)piece->width * (2 + 2 * (double)piece->hidden) + 10 * (double)piece->hidden;
    }
    return passes * each * (double)rows + (training ? 16 * (double)inputs->size : 0);
}

/* Forward ---------------------------------------------------------------------------------------------- */

static int is_code(double value, ptrdiff_t categories) {
    return value >= 0 && value < (double)categories && value == floor(value);
}

static double value_at(const bpk_kernels *kernels, const void *at) {
    return kernels->dtype == BPK_F64 ? *(const double *)at : (double)*(const float *)at;
}

ptrdiff_t inputs_bad_row(const step *s, ptrdiff_t from, ptrdiff_t to) {
    const bpk_kernels *kernels = s->net->kernels;
    const net_inputs *inputs = s->net->inputs;
    ptrdiff_t first = to;
    for (int p = 0; p < inputs->pieces && !team_stopped(s->me); p++) {
        const input_piece *piece = &inputs->piece[p];
        if (piece->kind != INPUT_LOOKUP) continue;
        const columns_of_block c = block_at(s, inputs->columns, piece->from);
        for (ptrdiff_t i = from; i < first; i++)
            if (!is_code(value_at(kernels, element(kernels, s->ws->gathered, c.place + i * c.width)),
                         piece->categories))
                first = i;
    }
    /* A stopped gather leaves rows that are not those of this batch. */
    return first < to && !team_stopped(s->me) ? first : -1;
}

/* Rows `from` to `to` of a matrix in blocks, some columns of the gathered matrix, to the embedded one. */
static void copy_columns(const step *s, const input_piece *piece, ptrdiff_t from, ptrdiff_t to, void *out) {
    const bpk_kernels *kernels = s->net->kernels;
    const net_inputs *inputs = s->net->inputs;
    for (ptrdiff_t j = 0, n; j < piece->count; j += n) {
        const columns_of_block a = block_at(s, inputs->columns, piece->from + j),
                               b = block_at(s, inputs->width, piece->to + j);
        n = smaller(smaller(a.left, b.left), piece->count - j);
        kernels->copy(to - from, n, element(kernels, s->ws->gathered, a.place + from * a.width), a.width,
                      element(kernels, out, b.place + from * b.width), b.width);
    }
}

static void look_up(const step *s, const input_piece *piece, const void *table, ptrdiff_t from, ptrdiff_t to,
                    void *out) {
    const bpk_kernels *kernels = s->net->kernels;
    const columns_of_block code = block_at(s, s->net->inputs->columns, piece->from);
    bpk_lookup_args args = {.m = to - from,
                            .codes = element(kernels, s->ws->gathered, code.place + from * code.width),
                            .ldc = code.width,
                            .ldt = piece->width};
    for (ptrdiff_t j = 0; j < piece->width; j += args.n) {
        const columns_of_block c = block_at(s, s->net->inputs->width, piece->to + j);
        args.n = smaller(c.left, piece->width - j);
        args.table = element(kernels, table, j);
        args.rows = element(kernels, out, c.place + from * c.width);
        args.ldr = c.width;
        kernels->lookup(&args);
    }
}

static void embed_number(const step *s, const input_piece *piece, const void *values, ptrdiff_t from,
                         ptrdiff_t to, void *out) {
    const bpk_kernels *kernels = s->net->kernels;
    void *x = own_scratch(s), *linear = element(kernels, x, PIECE_ROWS);
    bpk_periodic_args args = periodic_args(s->net, piece, values, x, linear);
    for (; from < to; from += args.m) {
        args.m = smaller(to - from, PIECE_ROWS);
        gathered_column(s, piece->from, from, args.m, x);
        kernels->periodic(&args);
        /* The last output is the column itself, which stands in front of the others in the scratch. */
        scratch_to_blocks(s, linear, piece->to, piece->width - 1, from, args.m, out);
        scratch_to_blocks(s, x, piece->to + piece->width - 1, 1, from, args.m, out);
    }
}

static void multiply(const step *s, const void *factors, const void *from_blocks, ptrdiff_t from,
                     ptrdiff_t to) {
    const bpk_kernels *kernels = s->net->kernels;
    for (ptrdiff_t j = 0, n; j < s->net->inputs->width; j += n) {
        const columns_of_block c = block_at(s, s->net->inputs->width, j);
        n = c.left;
        bpk_scale_args args = {.m = to - from,
                               .n = n,
                               .x = element(kernels, from_blocks, c.place + from * c.width),
                               .ldx = c.width,
                               .factors = element(kernels, factors, j),
                               .out = element(kernels, s->ws->x[s->turn], c.place + from * c.width),
                               .ldo = c.width};
        kernels->scale(&args);
    }
}

void inputs_forward(const step *s, const void *store) {
    const net_inputs *inputs = s->net->inputs;
    const void *values = counterpart(s->net, store, inputs->values);
    void *embedded = inputs_embedded(s);
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    for (int p = 0; inputs->embeds && p < inputs->pieces && !team_stopped(s->me); p++) {
        const input_piece *piece = &inputs->piece[p];
        switch (piece->kind) {
            case INPUT_COPY: copy_columns(s, piece, from, to, embedded); break;
            case INPUT_LOOKUP:
                look_up(s, piece, element(s->net->kernels, values, piece->w), from, to, embedded);
                break;
            case INPUT_PERIODIC: embed_number(s, piece, values, from, to, embedded); break;
        }
    }
    if (inputs->factors >= 0 && !team_stopped(s->me))
        multiply(s, element(s->net->kernels, values, inputs->factors), embedded, from, to);
}
