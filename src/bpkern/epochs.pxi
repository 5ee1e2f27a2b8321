# Whole epochs of training in one call into C, without the GIL. Included by _core.pyx.

class OverflowedError(NonFiniteLossError):
    """After the `.step` mini-batches of an epoch, a number of the network is not finite. The network has gone back to the
    start of the epoch."""


# The most epochs of a call into C.
cdef ptrdiff_t MOST_EPOCHS = 4096


cdef struct Order:
    bitgen_t *bits
    const int64_t *rows  # the rows to train on; NULL: 0, 1, 2, ...


cdef void next_order(void *context, int64_t *index, ptrdiff_t n) noexcept nogil:
    """The order of the next epoch: the rows, permuted as by the generator's `permutation(n)`."""
    cdef Order *order = <Order *>context
    cdef ptrdiff_t i
    if order.rows != NULL:
        memcpy(index, order.rows, n * sizeof(int64_t))
    else:
        for i in range(n):
            index[i] = i
    shuffle(order.bits, index, n - 1, 0)


cdef bpk_status run_epochs(Network net, bpk_run *run, bpk_epochs *epochs, Update update, double rate) except *:
    """Train for the epochs of a run that has its data, batch and threads. This thread is inside `writing()`."""
    cdef bpk_status status
    update.begin(run)
    run.request.update.optimizer.lr = rate
    run.request.seconds = 0
    net.make_for(update)  # again: a signal handler may have reset the model meanwhile
    net.make_workspace(run.request.batch, update, run.request.threads)
    net.changes += 1
    with nogil:
        status = bpk_train_epochs(net.net, net.workspace, run, epochs)
    return status


cdef int raise_for_epoch(Network net, const bpk_run *run, bpk_status status) except -1:
    """Raise the error of an epoch that has ended early or in numbers that are not finite. The network is then finite: as
    of the step before, or as of the start of the epoch."""
    cdef bint is_over = run.cursor.next >= run.request.data.rows, finite
    if status == BPK_OK or status == BPK_STOPPED:
        return 0
    if status == BPK_NO_MEMORY:
        net.no_memory_to_copy()
    finite = net.finite()
    if not finite or (status == BPK_DIVERGED and is_over):
        net.restore()
    if status == BPK_DIVERGED and is_over:
        raise (NonFiniteLossError if finite else OverflowedError)(batches_of(run))
    raise_for(status, run)
    return 0


def train_batch(Network net, Data rows, Update update, double rate, dropouts=None):
    """Make one step on all rows, by `rate`, and return the mean loss before it. Discards the average. This thread is
    inside `writing()`. `dropouts` (1, layers) is that of `Network.train`.

    Raises as `train_epochs`; then nothing has changed, unless a signal handler has changed the model.
    """
    cdef bpk_run run
    cdef bpk_epochs epochs
    cdef bpk_results results
    cdef bpk_counts before = bpk_net_counts(net.net)
    cdef bpk_status status = BPK_STOPPED
    cdef unsigned long lives = net.lives
    cdef double work = bpk_step_work(net.net, rows.c.rows, BPK_FOR_TRAINING)
    cdef int made, i
    net.begin_run(&run, rows, None, rows.c.rows, True)
    run.request.threads = share_of(net.most_threads(None, work, 1), None)
    if dropouts is not None:
        dropouts = net.probabilities(dropouts, 1)
        run.request.dropouts = <const double *>data(dropouts)
    if work >= FIRST_SLICE_WORK:
        run.request.stop = wants_to_stop
    memset(&epochs, 0, sizeof(epochs))
    epochs.epochs, epochs.results = 1, &results
    net.release(rows.c.rows)
    made = net.make_for(update)
    try:
        while status == BPK_STOPPED:
            status = run_epochs(net, &run, &epochs, update, rate)
            raise_for_epoch(net, &run, status)
            if status == BPK_STOPPED:
                look_for_signals()
                # If no handler has raised anything, the step is made again. A handler may have called reset.
                made |= net.make_for(update)
    except BaseException:
        if net.lives == lives and bpk_net_counts(net.net).updates == before.updates:
            bpk_net_set_counts(net.net, before)
            for i in range(BPK_M, BPK_N_STORES):
                if made >> i & 1:
                    bpk_net_discard(net.net, <bpk_store>i)
        raise
    return results.loss_sum / results.weight_sum


def train_epochs(
    Network net, Data rows, index, ptrdiff_t batch, Update update, double rate, int threads, generator,
    ptrdiff_t most, bint keeps_average, history, bint with_accuracy,
):
    """Train for up to `most` epochs, for about as long as a slice, and add those that are finished to the history before
    anything is raised. `Network.reserve` has been called with this `batch` and `update`, and has returned at least
    `threads`. This thread is inside `writing()`.

    `index` (int64) are the rows to train on; None is all of them. A generator, for which `shuffles` is true, draws a
    new order for each epoch. Without `keeps_average`, the average is discarded after the first epoch.

    Raises BadRowError, NonFiniteLossError or OverflowedError for the epoch after the finished ones; and what handlers
    of signals raise.
    """
    cdef bpk_run run
    cdef bpk_epochs epochs
    cdef bpk_status status
    cdef Order order
    net.begin_run(&run, rows, index, batch, True)
    run.request.threads = threads
    memset(&epochs, 0, sizeof(epochs))
    epochs.epochs, epochs.seconds, epochs.keeps_average = min(most, MOST_EPOCHS), SLICE_SECONDS, keeps_average
    epochs.results = <bpk_results *>calloc(epochs.epochs, sizeof(bpk_results))
    if epochs.results == NULL:
        raise MemoryError("no memory for the losses of epochs")
    try:
        if generator is None:
            status = run_epochs(net, &run, &epochs, update, rate)
        else:
            numbers = np.empty(run.request.data.rows, np.int64)
            order.bits, order.rows = bits_of(generator), run.request.data.index
            epochs.index = <int64_t *>data(numbers)
            run.request.data.index = epochs.index
            epochs.order, epochs.order_context = next_order, &order
            with generator.bit_generator.lock:
                status = run_epochs(net, &run, &epochs, update, rate)
        add_epochs(history, &run, &epochs, rate, with_accuracy)
    finally:
        free(epochs.results)
    raise_for_epoch(net, &run, status)
    look_for_signals()


cdef int add_epochs(history, const bpk_run *run, const bpk_epochs *epochs, double rate, bint with_accuracy) except -1:
    """Add the finished epochs to a `History`. No signal handler can run between the training and the end of this."""
    cdef ptrdiff_t i
    cdef const bpk_results *results = epochs.results
    if epochs.finished == 0:
        return 0
    added = [(history.lr, [rate] * epochs.finished)]
    losses = [results[i].loss_sum / results[i].weight_sum for i in range(epochs.finished)]
    added.append((history.setdefault("loss", []), losses))
    if with_accuracy:
        accuracies = [results[i].accuracy_sum / results[i].weight_sum for i in range(epochs.finished)]
        added.append((history.setdefault("accuracy", []), accuracies))
    lengths = [len(values) for values, _ in added]
    try:
        for values, new in added:
            values.extend(new)
    except BaseException:  # no memory: all lists grow, or none
        for (values, _), length in zip(added, lengths):
            del values[length:]
        raise
    history.iterations += epochs.finished * batches_of(run)
    return 0
