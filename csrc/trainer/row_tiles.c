/* Row tiles: steps of thin nets in large batches, a part of the rows at a time.
 *
 * A thin net has few weights for the activations, deltas and targets of a row. In a large batch, these leave
 * the cache between two layers, and a step waits for memory most of the time. In tiles of a few rows, they
 * stay in the second-level cache from the gather to the update. Each tile adds to the stored gradients, which
 * are few, and the update is made from them in the end.
 *
 * A tile is a step of its own, from step_loss to step_backward_store: what these serve, tiles serve. */
#include "trainer/row_tiles.h"

#include "trainer/backward.h"
#include "trainer/gather.h"
#include "trainer/parameters.h"
#include "trainer/products.h"

/* The choice changes the order of sums, and so bits. Hence it depends on net, batch and layout alone: never
 * on the size of a cache, nor on the number of threads. A tile takes at most TILE_BYTES, half of a small
 * second-level cache, or LEAST_ROWS rows. A batch of fewer than LEAST_TILES is in the cache anyway. With more
 * than THIN weights for each element of a row, the arithmetic takes longer than the memory, and the weights
 * and gradients would pass through the cache once per tile. The values are measured. */
enum { TILE_BYTES = 256 << 10, LEAST_ROWS = 8, LEAST_TILES = 4, THIN = 4 };

/* The elements of a row: the input, each layer's activations, deltas and stored derivatives, and the targets.
 * Dropout is refused, and so not asked for. */
static double row_elements(const bpk_net *net) {
    double elements = (double)padded(net->kernels, net->layers[0].in) + (double)last_layer(net)->width;
    for (int l = 0; l < net->count; l++)
        elements += (2 + bpk_needs_z(net->layers[l].activation)) * (double)net->layers[l].width;
    return elements;
}

static ptrdiff_t tile_rows(const bpk_net *net) {
    double rows = TILE_BYTES / (row_elements(net) * (double)net->kernels->real_size);
    return rows > LEAST_ROWS ? (ptrdiff_t)rows / LEAST_ROWS * LEAST_ROWS : LEAST_ROWS;
}

int has_row_tiles(const bpk_net *net, ptrdiff_t rows) {
    double weights = 0;
    for (int l = 0; l < net->count; l++) weights += (double)net->layers[l].in * (double)net->layers[l].out;
    return weights <= THIN * row_elements(net) && rows / LEAST_TILES >= tile_rows(net);
}

/* Served are all losses, activations, optimisers and schedules; sample weights, penalties, clipping, the
 * average of the parameters, outputs for metrics, any kind of data, any number of threads, and a question
 * whether to stop. Refused are
 * - dropout: the rows of its random numbers are counted from the first row of a workspace;
 * - accumulation over several batches: a bad row in a later tile would spoil the gradients of earlier
 * batches. A loss in Python takes steps by hand (tape.c), which need the whole batch in the workspace. */
ptrdiff_t row_tile(const bpk_net *net, const bpk_request *request) {
    if (!has_row_tiles(net, request->batch) || request->update.accumulate > 1) return 0;
    for (int l = 0; l < net->count; l++)
        if (net->layers[l].dropout > 0) return 0;
    return tile_rows(net);
}

/* The sum of the sample weights of the batch, over a copy, as in `weigh` (step.c). A bad row weighs 0 here;
 * its tile finds it. */
static double weight_of(const step *s) {
    const bpk_data *data = &s->request->data;
    if (!data->weights) return (double)s->m;
    double *weights = s->ws->row_weight, sum = 0;
    ptrdiff_t from, to;
    team_share(s->me, s->m, 1, &from, &to);
    for (ptrdiff_t i = from; i < to; i++) {
        ptrdiff_t row = row_at(data, s->cursor.next + i);
        weights[i] = row < 0 ? 0 : data->weights[row];
    }
    team_barrier(s->me);
    for (ptrdiff_t i = 0; i < s->m; i++) sum += weights[i];
    team_barrier(s->me);
    return sum;
}

/* The step of the tile that begins at row `row` of the batch. It leaves the penalties to the batch. */
static step tile_at(const step *s, ptrdiff_t row) {
    step t = *s;
    t.rows = s->tile;
    t.m = smaller(s->tile, s->m - row);
    t.cursor.next += row;
    t.training = 0;
    return t;
}

/* The deltas of a tile contain the factor 1 / (weight of the tile), which is exchanged here. */
bpk_status step_tiles(step *s) {
    const bpk_request *request = s->request;
    const double weight = weight_of(s), divisor = bpk_stores_gradients(&request->update) ? 1 : weight;
    s->weight = s->loss = s->accuracy = 0;
    step_clear_gradients(s);
    for (ptrdiff_t row = 0; row < s->m; row += s->tile) {
        if (step_stopped(s)) return BPK_STOPPED;
        step t = tile_at(s, row);
        bpk_status status = step_loss(&t, 1);
        s->bad_row = t.bad_row;
        if (status != BPK_OK) return status;
        if (request->outputs) step_copy_rows(&t, s->net->count - 1, request->outputs);
        if (t.weight > 0 && weight > 0) step_backward_store(&t, t.weight / divisor, 0);
        s->weight += t.weight;
        s->loss += t.loss;
        s->accuracy += t.accuracy;
        team_barrier(s->me);
    }
    if (s->weight > 0) step_add_penalties(s);
    return BPK_OK;
}
