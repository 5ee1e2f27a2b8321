/* The scratch memory of a step: one allocation, carved into its matrices. */
#include "trainer/workspace.h"

#include <stdlib.h>

#include "platform/memory.h"
#include "trainer/inputs.h"
#include "trainer/parameters.h"
#include "trainer/products.h"
#include "trainer/row_tiles.h"
#include "trainer/step.h"

/* A cursor over memory. If memory is NULL, carving only adds up the size. */
typedef struct {
    char *memory;
    ptrdiff_t size; /* bytes carved so far; -1 after an overflow */
} arena;

/* The next rows * columns items of `item` bytes, in whole cache lines, at least one. */
static void *carve(arena *arena, ptrdiff_t rows, ptrdiff_t columns, size_t item) {
    ptrdiff_t bytes;
    if (arena->size < 0 || __builtin_mul_overflow(rows, columns, &bytes) ||
        __builtin_mul_overflow(bytes, (ptrdiff_t)item, &bytes) ||
        __builtin_add_overflow(bytes, CACHE_LINE, &bytes) || bytes > PTRDIFF_MAX / 2 - arena->size) {
        arena->size = -1;
        return NULL;
    }
    void *place = arena->memory ? arena->memory + arena->size : NULL;
    arena->size += bytes / CACHE_LINE * CACHE_LINE;
    return place;
}

static size_t size_of_workspace(const bpk_net *net) {
    const bpk_workspace *ws = NULL;
    return sizeof *ws + (size_t)net->count * sizeof ws->layers[0];
}

static void lay_out_inputs(bpk_workspace *ws, const bpk_net *net, int training, int stores, arena *arena) {
    const net_inputs *inputs = net->inputs;
    const size_t real = net->kernels->real_size;
    if (!inputs) return;
    ws->gathered = carve(arena, ws->rows, padded(net->kernels, inputs->columns), real);
    if (inputs->embeds && inputs->factors >= 0)
        ws->embedded = carve(arena, ws->rows, padded(net->kernels, inputs->width), real);
    if (stores) ws->columns_delta = carve(arena, ws->rows, padded(net->kernels, inputs->columns), real);
    if (training) ws->input_gradients = carve(arena, inputs->size, 1, real);
    ws->input_scratch = carve(arena, ws->threads, inputs_scratch(inputs), real);
}

static void lay_out(bpk_workspace *ws, const bpk_net *net, bpk_purpose purpose, arena *arena) {
    const bpk_kernels *kernels = net->kernels;
    const net_layer *last = &net->layers[net->count - 1];
    size_t real = kernels->real_size;
    int training = purpose != BPK_FOR_FORWARD, stores = purpose == BPK_FOR_GRADIENTS;
    int has_x_delta = stores || (training && net->inputs);
    ptrdiff_t deepest = 0, mixed = 0, columns = net->inputs ? net->inputs->columns : net->layers[0].in;
    ws->x[0] = carve(arena, ws->rows, padded(kernels, net->layers[0].in), real);
    if (training)
        ws->x[1] =
            carve(arena, smaller(ws->rows, kernels->sweep_rows), padded(kernels, net->layers[0].in), real);
    for (int l = 0; l < net->count; l++) {
        const net_layer *layer = &net->layers[l];
        ws->layers[l].a = carve(arena, ws->rows, layer->width, real);
        if (training) ws->layers[l].delta = carve(arena, ws->rows, layer->width, real);
        if (training && keeps_slope(layer)) ws->layers[l].slope = carve(arena, ws->rows, layer->width, real);
        if (layer->mixes) {
            ws->layers[l].difference = carve(arena, ws->rows, layer->width, real);
            mixed = larger(mixed, layer->out);
        }
        if ((l > 0 || has_x_delta) && !layer->narrow) deepest = larger(deepest, layer->out);
    }
    ws->target_rows = carve(arena, ws->rows, 1, sizeof *ws->target_rows);
    ws->next_targets = carve(arena, ws->rows, 1, sizeof *ws->next_targets);
    ws->targets = carve(arena, ws->rows, last->width, real);
    ws->labels = carve(arena, ws->rows, 1, sizeof *ws->labels);
    ws->scale = carve(arena, ws->rows, 1, sizeof *ws->scale);
    ws->row_weight = carve(arena, ws->rows, 1, sizeof *ws->row_weight);
    ws->row_loss = carve(arena, ws->rows, 1, sizeof *ws->row_loss);
    ws->row_accuracy = carve(arena, ws->rows, 1, sizeof *ws->row_accuracy);
    if (training) ws->sums = carve(arena, count_chunks(net), 1, sizeof *ws->sums);
    if (stores || (training && (step_goes_back(net, ws->rows) || has_row_tiles(net, ws->rows))))
        ws->gradients = carve(arena, net->size, 1, real);
    if (has_x_delta) ws->x_delta = carve(arena, ws->rows, padded(kernels, net->layers[0].in), real);
    ws->bad = carve(arena, ws->threads, 1, sizeof *ws->bad);
    ws->bad_targets = carve(arena, ws->threads, 1, sizeof *ws->bad_targets);
    ws->row_size = padded(kernels, larger(columns, last->out));
    ws->rows_of_threads = carve(arena, ws->threads, ws->row_size, real);
    ws->strip_size = training ? kernels->panel * smaller(deepest, DEPTH + kernels->panel) : 0;
    ws->strips = carve(arena, ws->threads, ws->strip_size, real);
    if (training) ws->mix_gradients = carve(arena, mixed, 1, real);
    lay_out_inputs(ws, net, training, stores, arena);
    ptrdiff_t parts = training ? most_parts(net, ws->rows) : 0;
    if (!parts) return;
    ws->view_size = round_up((ptrdiff_t)size_of_workspace(net), CACHE_LINE);
    ws->views = carve(arena, ws->threads, ws->view_size, 1);
    ws->part_gradients = carve(arena, parts - 1, net->size, real);
    ws->parts = carve(arena, parts, 1, sizeof *ws->parts);
}

bpk_status bpk_workspace_create(const bpk_net *net, ptrdiff_t rows, bpk_purpose purpose, int threads,
                                bpk_workspace **result) {
    bpk_workspace *ws = calloc(1, size_of_workspace(net));
    if (!ws) return BPK_NO_MEMORY;
    ws->rows = rows;
    ws->threads = threads;
    arena room = {.size = 0};
    lay_out(ws, net, purpose, &room);
    /* Zeroing a large one would take seconds before the first step, in which nothing can be broken off. */
    ws->memory = room.memory = allocate_unset(room.size, 1);
    if (!ws->memory) {
        free(ws);
        return BPK_NO_MEMORY;
    }
    ws->bytes = room.size;
    room.size = 0;
    lay_out(ws, net, purpose, &room);
    if (ws->gradients) bpk_workspace_clear_gradients(net, ws);
    *result = ws;
    return BPK_OK;
}

ptrdiff_t bpk_workspace_bytes(const bpk_workspace *ws) { return ws ? ws->bytes : 0; }

void bpk_workspace_free(bpk_workspace *ws) {
    if (!ws) return;
    release(ws->memory);
    free(ws);
}

void workspace_set_height(const bpk_net *net, bpk_workspace *ws, ptrdiff_t height, ptrdiff_t rows) {
    if (ws->height == height && ws->zeroed >= rows) return;
    for (int l = 0; l < net->count; l++) {
        const net_layer *layer = &net->layers[l];
        if (layer->width > layer->out)
            memset(ws->layers[l].delta, 0, (size_t)(rows * layer->width) * net->kernels->real_size);
    }
    ws->height = height;
    ws->zeroed = rows;
}

bpk_workspace *workspace_part(const bpk_net *net, const bpk_workspace *ws, int index, ptrdiff_t rows,
                              ptrdiff_t part) {
    const bpk_kernels *kernels = net->kernels;
    const ptrdiff_t first = index * rows, last = last_layer(net)->width;
    bpk_workspace *view = (void *)((char *)ws->views + index * ws->view_size);
    memcpy(view, ws, size_of_workspace(net));
    view->x[0] = element(kernels, ws->x[0], first * padded(kernels, net->layers[0].in));
    view->targets = element(kernels, ws->targets, first * last);
    view->target_rows += first;
    view->next_targets += first;
    view->labels += first;
    view->scale += first;
    view->row_weight += first;
    view->row_loss += first;
    view->row_accuracy += first;
    if (part > 0) view->gradients = element(kernels, ws->part_gradients, (part - 1) * net->size);
    view->bad += index;
    view->bad_targets += index;
    view->rows_of_threads = element(kernels, ws->rows_of_threads, index * ws->row_size);
    view->strips = element(kernels, ws->strips, index * ws->strip_size);
    for (int l = 0; l < net->count; l++) {
        const ptrdiff_t start = first * net->layers[l].width;
        view->layers[l].a = element(kernels, ws->layers[l].a, start);
        view->layers[l].delta = element(kernels, ws->layers[l].delta, start);
        if (ws->layers[l].slope) view->layers[l].slope = element(kernels, ws->layers[l].slope, start);
    }
    return view;
}

void bpk_workspace_get_layer(const bpk_net *net, const bpk_workspace *ws, int l, void *dw, void *db) {
    net_get_layer(net, ws->gradients, l, dw, db);
}

void bpk_workspace_set_layer(const bpk_net *net, bpk_workspace *ws, int l, const void *dw, const void *db) {
    bpk_net_buffer_layer(net, ws->gradients, l, dw, db);
}

void bpk_workspace_copy_gradients(const bpk_net *net, bpk_workspace *to, const bpk_workspace *from) {
    memcpy(to->gradients, from->gradients, (size_t)net->size * net->kernels->real_size);
}

void bpk_workspace_clear_gradients(const bpk_net *net, bpk_workspace *ws) {
    memset(ws->gradients, 0, (size_t)net->size * net->kernels->real_size);
}
