# The settings of losses and of updates on their way to C. Included by _core.pyx.

@cython.final
cdef class LossSettings:
    """A loss by its name, with the settings that `bpk_loss_settings` in bpkern.h explains.

    `parameters` are numbers (out,) for huber and quantile, and None for any other loss.
    """

    cdef bpk_loss_settings c
    cdef cnp.ndarray parameters  # float64 (out,), a copy into which c points; or None

    def __init__(
        self, str name, parameters=None, double smoothing=0.0, double loss_factor=1.0, double slope_factor=1.0,
        double cap=INFINITY, bint deviance=False,
    ):
        if (parameters is not None) != (name in ("huber", "quantile")):
            raise ValueError(f"only huber and quantile have parameters, and must have them, not {name}: {parameters}")
        self.parameters = None
        self.c = bpk_loss_settings(
            <bpk_loss><int>LOSSES.index(name), NULL, smoothing, loss_factor, slope_factor, cap, deviance
        )
        if parameters is not None:
            self.parameters = np.array(parameters, np.float64)
            self.c.parameters = <const double *>data(self.parameters)

    cdef int check(self, ptrdiff_t outputs) except -1:
        """Raise ValueError unless there is a parameter for each output, if there are any."""
        if self.parameters is not None and shape_of(self.parameters) != (outputs,):
            raise ValueError(
                f"the parameters of a loss must have shape ({outputs},), one per output, not {shape_of(self.parameters)}"
            )
        return 0


cdef bpk_optimizer optimizer_of(optimizer) except *:
    """The C settings of an optimiser. A learning rate and a weight decay of a schedule are left 0."""
    cdef bpk_optimizer c
    memset(&c, 0, sizeof(c))
    lr = optimizer.lr
    c.lr = 0.0 if callable(lr) else lr
    decay = optimizer.weight_decay
    c.weight_decay = 0.0 if callable(decay) else decay
    c.rule = <bpk_rule><int>OPTIMIZERS.index(optimizer.rule)
    c.maximize = optimizer.maximize
    if c.rule == BPK_SGD:
        c.momentum, c.nesterov, c.dampening = optimizer.momentum, optimizer.nesterov, optimizer.dampening
        return c
    c.eps = optimizer.eps
    if c.rule == BPK_RMSPROP:
        c.momentum, c.square_decay, c.centered = optimizer.momentum, optimizer.alpha, optimizer.centered
    elif c.rule == BPK_ADAGRAD:
        c.lr_decay = optimizer.lr_decay
    elif c.rule == BPK_NADAM:
        c.momentum, c.square_decay = optimizer.betas
        c.momentum_decay, c.decoupled = optimizer.momentum_decay, optimizer.decoupled_weight_decay
    else:  # Adam and AdamW
        c.momentum, c.square_decay = optimizer.betas
        c.amsgrad, c.eps_hat = optimizer.amsgrad, optimizer.eps_hat
    return c


@cython.final
cdef class Update:
    """From gradients to new parameters: the optimiser, the penalties, clipping, accumulation and the average.

    It is kept over the runs of a fit, and carries pending mini-batches from one run to the next. A `clip_norm` or
    `clip_value` of None does not clip; an `ema` of None keeps no average. `penalty_per_weight` and `mean_by_rows`
    are explained in bpkern.h.
    """

    cdef bpk_update_settings c
    cdef bpk_pending pending
    cdef double initial_squares  # the initial value of the optimiser's v
    cdef bint averages  # whether there is an `ema`
    cdef bint mean_by_rows

    def __init__(
        self, optimizer, *, double l1=0.0, double l2=0.0, clip_norm=None, clip_value=None,
        ptrdiff_t accumulate=1, ema=None, bint penalty_per_weight=False, bint mean_by_rows=False,
    ):
        memset(&self.c, 0, sizeof(self.c))
        memset(&self.pending, 0, sizeof(self.pending))
        self.set_optimizer(optimizer)
        self.c.l1, self.c.l2 = l1, l2
        self.c.clip_norm = INFINITY if clip_norm is None else clip_norm
        self.c.clip_value = INFINITY if clip_value is None else clip_value
        self.c.accumulate = accumulate
        self.averages = ema is not None
        self.c.average_decay = ema if self.averages else 0.0
        self.c.penalty_per_weight, self.mean_by_rows = penalty_per_weight, mean_by_rows

    cdef void begin(self, bpk_run *run):
        """Put the settings and the pending mini-batches into a run."""
        run.request.update = self.c
        run.request.mean_by_rows = self.mean_by_rows
        run.cursor.pending = self.pending

    cdef void end(self, const bpk_run *run):
        """Keep the pending mini-batches of a run for the next one."""
        self.pending = run.cursor.pending

    @property
    def accumulate(self):
        """Mini-batches per update."""
        return self.c.accumulate

    @property
    def states(self):
        """The number of numbers that the optimiser keeps for each parameter."""
        return sum(bpk_uses(&self.c.optimizer, <bpk_store><int>i) for i in range(BPK_M, BPK_AVERAGE))

    def set_optimizer(self, optimizer):
        """Use other settings, or another learning rate, from the next update on."""
        self.c.optimizer = optimizer_of(optimizer)
        self.initial_squares = getattr(optimizer, "initial_accumulator_value", 0.0)

    def set_weight_decay(self, double weight_decay):
        """Use this weight decay from the next update on."""
        self.c.optimizer.weight_decay = weight_decay
