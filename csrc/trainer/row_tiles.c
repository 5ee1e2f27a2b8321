/* Row tiles: steps of thin nets in large batches, a part of the rows at a time.
 *
 * A thin net has few weights for its activations. In a large batch, its activations and deltas leave the
 * cache between two layers, and a step waits for memory much of the time. In tiles of some rows, they stay in
 * the second-level or third-level cache from the gather to the update. Each tile adds to the stored
 * gradients, and the update is made from them in the end.
 *
 * A tile is a step of its own, from step_loss to step_backward_store: what these serve, tiles serve. */
#include "trainer/row_tiles.h"

#include "platform/memory.h"
#include "trainer/backward.h"
#include "trainer/gather.h"
#include "trainer/optimizer.h"
#include "trainer/parameters.h"
#include "trainer/products.h"

/* The choice changes the order of sums, and so bits. Hence it depends on net, batch and layout alone: never
 * on the size of a cache, nor on the number of threads. A tile takes TILE_BYTES, half of a small second-level
 * cache, but at least LEAST_ROWS rows. A batch of fewer than LEAST_TILES tiles stays in the cache anyway.
 *
 * The weights of a net with more than THIN_BYTES leave the cache, with their gradients, in each tile. So its
 * tiles have LARGE_TILE rows or more, whose arithmetic takes much longer than moving the weights. This pays
 * if the net has no more weights than WEIGHTS_OF_ROWS rows have elements, and in batches of LARGE_BYTES or
 * more, which would come from memory (measured). */
enum { TILE_BYTES = 256 << 10, THIN_BYTES = TILE_BYTES / 2, LEAST_ROWS = 8, LEAST_TILES = 4 };
enum { LARGE_TILE = 128, WEIGHTS_OF_ROWS = 80, LARGE_BYTES = 8 << 20 };

/* Members share parts of the batch: consecutive tiles, which one member makes alone, with gradients of their
 * own. Members meet only after the last part. The division does not depend on their number, and the gradients
 * are added in the order of the parts. A part has about PART_TILES tiles or more, because its gradients cost
 * time too; so there are at most MOST_PARTS members, and LEAST_TILES of them for a few tiles. */
enum { PART_TILES = 4, MOST_PARTS = 16 };

/* The elements of a row: the input, each layer's activations, deltas and stored derivatives, and the targets.
 * Dropout is refused, and so not asked for. */
static double row_elements(const bpk_net *net) {
    double elements = (double)padded(net->kernels, net->layers[0].in) + (double)last_layer(net)->width;
    for (int l = 0; l < net->count; l++)
        elements += (2 + has_own_pass(&net->layers[l])) * (double)net->layers[l].width;
    return elements;
}

static double row_bytes(const bpk_net *net) { return row_elements(net) * (double)net->kernels->real_size; }

static int is_thin(const bpk_net *net) {
    return net->size <= THIN_BYTES / (ptrdiff_t)net->kernels->real_size;
}

static ptrdiff_t tile_rows(const bpk_net *net) {
    ptrdiff_t rows = (ptrdiff_t)(TILE_BYTES / row_bytes(net)) / LEAST_ROWS * LEAST_ROWS;
    return larger(rows, is_thin(net) ? LEAST_ROWS : LARGE_TILE);
}

static ptrdiff_t tiles_of(ptrdiff_t rows, ptrdiff_t tile) { return (rows + tile - 1) / tile; }

/* Into how many parts the tiles of a batch are divided. */
static ptrdiff_t parts_of(ptrdiff_t tiles) {
    ptrdiff_t parts = larger(tiles / PART_TILES, LEAST_TILES);
    return smaller(smaller(parts, MOST_PARTS), tiles);
}

ptrdiff_t most_parts(const bpk_net *net, ptrdiff_t rows) {
    return has_row_tiles(net, rows) ? parts_of(tiles_of(rows, tile_rows(net))) : 0;
}

int has_row_tiles(const bpk_net *net, ptrdiff_t rows) {
    if (net->extra_size || rows / LEAST_TILES < tile_rows(net)) return 0;
    return is_thin(net) || ((double)net->size <= WEIGHTS_OF_ROWS * row_elements(net) &&
                            (double)rows * row_bytes(net) >= LARGE_BYTES);
}

/* Served are all losses, activations, optimisers and schedules; sample weights, penalties, clipping, the
 * average of the parameters, outputs for metrics, any kind of data, any number of threads, and a question
 * whether to stop. Refused are
 * - dropout: the rows of its random numbers are counted from the first row of a workspace;
 * - accumulation over several batches: a bad row in a later tile would spoil the gradients of earlier
 * batches;
 * - shards: a tile has rows of several.
 * A loss in Python takes steps by hand (tape.c), which need the whole batch in the workspace. */
ptrdiff_t row_tile(const bpk_net *net, const bpk_request *request) {
    if (!has_row_tiles(net, request->batch) || request->update.accumulate > 1 || request->shards ||
        net->input_dropout > 0)
        return 0;
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

/* The step of one member for the tile that begins at row `row` of the batch, in a workspace of its own. It
 * leaves the penalties to the batch, and is not broken off: that of a thin net is short, and a heavier one
 * has few rows. */
static step tile_at(const step *s, bpk_workspace *own, ptrdiff_t row) {
    step t = *s;
    t.ws = own;
    t.me = (member){.team = s->me.team, .count = 1};
    t.rows = s->tile;
    t.m = smaller(s->tile, s->m - row);
    t.cursor.next += row;
    t.training = 0;
    return t;
}

/* The tiles of one part, one after the other. The deltas of a tile contain the factor 1 / (weight of the
 * tile), which is replaced by 1 / divisor. */
static tiles_result make_part(const step *s, ptrdiff_t part, double divisor) {
    const ptrdiff_t tiles = tiles_of(s->m, s->tile), parts = parts_of(tiles);
    bpk_workspace *own = workspace_part(s->net, s->ws, s->me.index, s->tile, part);
    tiles_result sums = {.status = BPK_OK};
    step_clear_gradients(&(step){.net = s->net, .ws = own, .me = {.count = 1}});
    for (ptrdiff_t i = part * tiles / parts; i < (part + 1) * tiles / parts && !team_stopped(s->me); i++) {
        step t = tile_at(s, own, i * s->tile);
        sums.status = step_loss(&t, 1);
        sums.bad_row = t.bad_row;
        if (sums.status != BPK_OK) break;
        if (s->request->outputs) step_copy_rows(&t, s->net->count - 1, s->request->outputs);
        if (t.weight > 0 && divisor > 0) step_backward_store(&t, t.weight / divisor, OF_TRAINED);
        sums.weight += t.weight;
        sums.loss += t.loss;
        sums.accuracy += t.accuracy;
    }
    return sums;
}

/* The member's share of the sum of all parts' gradients, in the order of the parts. The gradients of the
 * first part are the stored gradients. */
static void add_parts(const step *s, ptrdiff_t parts) {
    const bpk_kernels *kernels = s->net->kernels;
    const ptrdiff_t size = s->net->size;
    void *const no_state[BPK_STATES] = {NULL};
    const bpk_move add = adding(1).weights;
    ptrdiff_t from, to;
    team_share(s->me, size, CACHE_LINE, &from, &to);
    for (ptrdiff_t part = 1; part < parts; part++)
        kernels->move(&add, to - from, element(kernels, s->ws->part_gradients, (part - 1) * size + from),
                      element(kernels, s->ws->gradients, from), no_state);
}

bpk_status step_tiles(step *s) {
    const double weight = weight_of(s);
    const ptrdiff_t parts = parts_of(tiles_of(s->m, s->tile));
    ptrdiff_t from, to;
    team_share(s->me, parts, 1, &from, &to);
    for (ptrdiff_t part = from; part < to; part++)
        s->ws->parts[part] =
            make_part(s, part, bpk_stores_gradients(&s->request->update) ? weight > 0 : weight);
    team_barrier(s->me);
    if (step_stopped(s)) return BPK_STOPPED;
    s->weight = s->loss = s->accuracy = 0;
    for (ptrdiff_t part = 0; part < parts; part++) {
        const tiles_result *sums = &s->ws->parts[part];
        s->bad_row = sums->bad_row;
        if (sums->status != BPK_OK) return sums->status;
        s->weight += sums->weight;
        s->loss += sums->loss;
        s->accuracy += sums->accuracy;
    }
    add_parts(s, parts);
    if (s->weight > 0) step_add_penalties(s);
    return BPK_OK;
}
