# What a run of training does with its gradients: an optimiser's settings on their way to C. Included by _core.pyx.

cdef dict RULES = {
    "sgd": BPK_SGD, "rmsprop": BPK_RMSPROP, "adagrad": BPK_ADAGRAD, "adam": BPK_ADAM, "adamw": BPK_ADAM,
}


cdef bpk_optimizer optimizer_of(optimizer) except *:
    """Of its settings; the learning rate of a schedule is left 0."""
    cdef bpk_optimizer c
    memset(&c, 0, sizeof(c))
    lr = optimizer.lr
    c.lr = 0.0 if callable(lr) else lr
    c.weight_decay = optimizer.weight_decay
    c.rule = <bpk_rule><int>RULES[optimizer.rule]
    if c.rule == BPK_SGD:
        c.momentum, c.nesterov = optimizer.momentum, optimizer.nesterov
        return c
    c.eps = optimizer.eps
    if c.rule == BPK_RMSPROP:
        c.momentum, c.square_decay, c.centered = optimizer.momentum, optimizer.alpha, optimizer.centered
    elif c.rule == BPK_ADAGRAD:
        c.lr_decay = optimizer.lr_decay
    elif c.rule == BPK_ADAM:
        c.momentum, c.square_decay = optimizer.betas
        c.amsgrad, c.eps_hat = optimizer.amsgrad, optimizer.eps_hat
    if optimizer.rule == "adamw":
        c.decoupled_decay, c.weight_decay = c.weight_decay, 0.0
    return c


@cython.final
cdef class Update:
    """From gradients to new parameters: the optimiser, the penalties, clipping, accumulation and the average.

    Kept over the runs of a fit: `pending` mini-batches go on from one to the next. `clip_norm` and `clip_value`
    of None do not clip; `ema` of None keeps no average. The last two are as `Conventions` has them.
    """

    cdef bpk_run c  # a run but for its data
    cdef double initial_squares  # what the optimiser's v begins with
    cdef bint averages

    def __init__(
        self, optimizer, double l1, double l2, clip_norm, clip_value, ptrdiff_t accumulate, ema,
        bint penalty_per_weight=False, bint mean_by_rows=False,
    ):
        memset(&self.c, 0, sizeof(self.c))
        self.set_optimizer(optimizer)
        self.c.l1, self.c.l2 = l1, l2
        self.c.clip_norm = INFINITY if clip_norm is None else clip_norm
        self.c.clip_value = INFINITY if clip_value is None else clip_value
        self.c.accumulate = accumulate
        self.averages = ema is not None
        self.c.average_decay = ema if self.averages else 0.0
        self.c.penalty_per_weight, self.c.mean_by_rows = penalty_per_weight, mean_by_rows

    cdef void begin(self, bpk_run *run):
        """Into a run that has its data."""
        run.optimizer = self.c.optimizer
        run.l1, run.l2 = self.c.l1, self.c.l2
        run.clip_norm, run.clip_value = self.c.clip_norm, self.c.clip_value
        run.accumulate = self.c.accumulate
        run.average_decay = self.c.average_decay
        run.penalty_per_weight, run.mean_by_rows = self.c.penalty_per_weight, self.c.mean_by_rows
        run.pending, run.pending_weight = self.c.pending, self.c.pending_weight

    cdef void end(self, const bpk_run *run):
        self.c.pending, self.c.pending_weight = run.pending, run.pending_weight

    @property
    def accumulate(self):
        return self.c.accumulate

    @property
    def states(self):
        """How many numbers the optimiser keeps for each parameter."""
        return sum(bpk_uses(&self.c.optimizer, <bpk_store><int>i) for i in range(BPK_M, BPK_AVERAGE))

    def set_optimizer(self, optimizer):
        """A callback has changed its settings, or its learning rate."""
        self.c.optimizer = optimizer_of(optimizer)
        self.initial_squares = getattr(optimizer, "initial_accumulator_value", 0.0)
