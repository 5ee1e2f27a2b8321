/* The next mini-batch's activations of layer 0, computed in the same pass over W as the update of layer 0. In
 * small batches, most of a step's time is moving W and the optimiser's states through the caches, and W of
 * layer 0 is most of a net. Only layer 0's activations are computed ahead: those of the layers above depend
 * on them.
 *
 * Between the update and the next step of the same call, nothing else changes W, b or x. If no such step
 * follows, because the call returned or was broken off, the activations are discarded. They have the bits of
 * step_forward, so no result depends on where calls begin and end. */
#include "trainer/ahead.h"

#include "trainer/fields.h"
#include "trainer/gather.h"
#include "trainer/products.h"

static int serves_request(const bpk_net *net, const bpk_run *run) {
    REFUSED(run, request.batch, !step_sweeps(net, 0, run->request.batch));
    SERVED(run, request.data.x); /* gathered as in step.c */
    SERVED(run, request.data.labels);
    SERVED(run, request.data.y);
    SERVED(run, request.data.weights); /* a batch of weight 0 makes no update: the next step computes all */
    SERVED(run, request.data.index);
    SERVED(run, request.data.rows);
    SERVED(run, request.data.source_rows);
    /* Members share whole blocks of W. */
    REFUSED(run, request.threads, run->request.threads > count_blocks(net->kernels, net->layers[0].out));
    SERVED(run, request.seconds); /* when the time is up, the activations are discarded */
    SERVED(run, request.stop);    /* breaks off steps before their update only */
    SERVED(run, request.stop_context);
    REFUSED(run, request.shards, run->request.shards);
    SERVED(run, request.rates);
    SERVED(run, request.decays);
    SERVED(run, request.dropouts); /* as layer.dropout */
    SERVED(run, request.more);
    SERVED(run, request.undoable); /* a pass of one step, so nothing is ahead */
    SERVED(run, request.mean_by_rows);
    SERVED(run, request.averaged); /* of evaluation and prediction */
    SERVED(run, request.layers);   /* of prediction */
    SERVED(run, request.outputs);
    SERVED(run, request.row_losses); /* of evaluation */
    return 1;
}

static int serves_update(const bpk_run *run) {
    SERVED(run, request.update.optimizer.rule);
    SERVED(run, request.update.optimizer.lr);
    SERVED(run, request.update.optimizer.weight_decay);
    SERVED(run, request.update.optimizer.momentum);
    SERVED(run, request.update.optimizer.square_decay);
    SERVED(run, request.update.optimizer.eps);
    SERVED(run, request.update.optimizer.lr_decay);
    SERVED(run, request.update.optimizer.dampening);
    SERVED(run, request.update.optimizer.momentum_decay);
    SERVED(run, request.update.optimizer.nesterov);
    SERVED(run, request.update.optimizer.centered);
    SERVED(run, request.update.optimizer.amsgrad);
    SERVED(run, request.update.optimizer.eps_hat);
    SERVED(run, request.update.optimizer.decoupled);
    SERVED(run, request.update.optimizer.maximize); /* the deltas have the sign */
    SERVED(run, request.update.l1); /* the next step computes its penalties from the parameters */
    SERVED(run, request.update.l2);
    SERVED(run, request.update.penalty_per_weight);
    SERVED(run, request.update.clip_norm); /* refused with the two below: gradients would be stored */
    SERVED(run, request.update.clip_value);
    REFUSED(run, request.update.accumulate, bpk_stores_gradients(&run->request.update));
    SERVED(run, request.update.average_decay); /* the average is computed from the parameters */
    SERVED(run, cursor.next);
    SERVED(run, cursor.batches); /* of shards */
    SERVED(run, cursor.updates);
    SERVED(run, cursor.pending.batches); /* always 0: gradients are not stored */
    SERVED(run, cursor.pending.weight);
    SERVED(run, cursor.total_weight); /* of bpk_gradients */
    SERVED(run, results.bad_row);
    SERVED(run, results.loss_sum);
    SERVED(run, results.accuracy_sum);
    SERVED(run, results.weight_sum);
    SERVED(run, results.bounded); /* of request.undoable */
    return 1;
}

static int serves_net(const bpk_net *net) {
    SERVED(net, kernels);
    SERVED(net, loss.loss); /* the loss and its parts: as in step.c */
    SERVED(net, loss.parameters);
    SERVED(net, loss.smoothing);
    SERVED(net, loss.loss_factor);
    SERVED(net, loss.slope_factor);
    SERVED(net, loss.cap);
    SERVED(net, loss.deviance);
    SERVED(net, loss_parameters);
    /* step_forward applies it to the rows it has just gathered. */
    REFUSED(net, input_dropout, net->input_dropout > 0);
    SERVED(net, dropout_key);
    SERVED(net, counts.updates);
    SERVED(net, counts.batches);
    SERVED(net, counts.moves);
    SERVED(net, stores);
    SERVED(net, saved); /* this and the next two are the snapshot's */
    SERVED(net, was_there);
    SERVED(net, saved_counts);
    SERVED(net, has_groups); /* the caller passes the moves of layer 0 */
    SERVED(net, has_bounds); /* this and the next are of updates that can be undone */
    SERVED(net, updates_without);
    SERVED(net, size);
    SERVED(net, inputs); /* this and the next are refused with extra_size */
    SERVED(net, extra);
    REFUSED(net, extra_size, net->extra_size > 0);
    SERVED(net, compressed); /* never trained */
    /* Layer 1's backward half updates the bias of layer 0, and ends with the barrier. */
    REFUSED(net, count, net->count < 2);
    return 1;
}

static int serves_layer(const net_layer *layer) {
    SERVED(layer, in); /* these and the next two: step_sweeps decides */
    SERVED(layer, out);
    SERVED(layer, width);
    SERVED(layer, activation); /* with an own pass, which the next step makes */
    SERVED(layer, parametric);
    SERVED(layer, parameter);
    SERVED(layer, mixes); /* this and the next two are refused with net.extra_size */
    SERVED(layer, mix);
    SERVED(layer, mix_group);
    SERVED(layer, dropout); /* by the next step */
    SERVED(layer, narrow);  /* step_sweeps refuses it */
    SERVED(layer, pairs);   /* of compressed nets */
    SERVED(layer, rows);
    SERVED(layer, columns);
    SERVED(layer, w);
    SERVED(layer, b);
    REFUSED(layer, groups, layer->groups[BPK_WEIGHTS].frozen); /* then there is no pass over W */
    SERVED(layer, norms); /* these two are bounds of updates that can be undone */
    SERVED(layer, after);
    return 1;
}

int ahead_serves(const bpk_net *net, const bpk_run *run) {
    return serves_request(net, run) && serves_update(run) && serves_net(net) && serves_layer(&net->layers[0]);
}

ptrdiff_t ahead_gather(const step *s) {
    const bpk_data *data = &s->request->data;
    if (!s->looks_ahead) return 0;
    const batch_origin x = {&data->x, data, s->cursor.next + s->m};
    ptrdiff_t rows = smaller(data->rows - x.next, s->rows), from, to;
    team_share(s->me, rows, 1, &from, &to);
    s->ws->bad[s->me.index] =
        gather(s->net->kernels, s->me, &x, from, to, s->ws->x[!s->turn], 0, s->rows, step_own_row(s));
    return rows;
}

/* The first column of block i of W. All blocks but the last two are as wide as a panel. */
static ptrdiff_t start_of_block(const bpk_kernels *kernels, const net_layer *layer, ptrdiff_t i) {
    if (i == 0) return 0;
    ptrdiff_t before = (i - 1) * kernels->panel;
    return before + block_width(kernels, layer->out - before);
}

int ahead_update(const step *s, ptrdiff_t rows, const bpk_move *move, void *const states[BPK_STATES]) {
    const bpk_net *net = s->net;
    const bpk_kernels *kernels = net->kernels;
    const net_layer *layer = &net->layers[0];
    bpk_workspace *ws = s->ws;
    ptrdiff_t from, to, blocks = count_blocks(kernels, layer->out);
    for (int i = 0; i < s->me.count; i++)
        if (ws->bad[i] >= 0) return 0;
    bpk_sweep_args args = {.to = layer->in,
                           .in = layer->in,
                           .k = s->m,
                           .x = ws->x[s->turn],
                           .x_rows = s->rows,
                           .move = move,
                           .next_k = rows,
                           .next_x = ws->x[!s->turn],
                           .activation = ws->layers[0].slope ? BPK_IDENTITY : layer->activation};
    /* A block is the member's if its first column is in the member's share. Every other step takes the blocks
     * from the last to the first: those that the step before took last are still in the cache. */
    team_share(s->me, layer->width, kernels->vector, &from, &to);
    for (ptrdiff_t n = 0; n < blocks; n++) {
        ptrdiff_t j = start_of_block(kernels, layer, s->turn ? blocks - 1 - n : n);
        if (j < from || j >= to) continue;
        ptrdiff_t width = block_width(kernels, layer->out - j);
        args.n = smaller(width, layer->out - j);
        args.delta = element(kernels, ws->layers[0].delta, j * s->rows);
        args.w = element(kernels, layer->w, j * layer->in);
        for (int i = 0; i < BPK_STATES; i++) args.state[i] = counterpart(net, states[i], args.w);
        args.b = element(kernels, layer->b, j);
        args.a = element(kernels, ws->layers[0].a, j * s->rows);
        args.ldd = args.lda = width;
        kernels->sweep(&args);
    }
    return 1;
}
