"""The settings of the optimisers. The kernels and `bpkern.reference` do the arithmetic."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar, Self

from . import _checks
from ._arguments import proposes_arguments
from ._slots import Slotted

# A number, or a schedule or any other function of the iteration, which is the number of updates made so far.
Rate = float | Callable[[int], Any]


class Optimizer(Slotted):
    """The base class of the optimisers. They hold settings and no state.

    Models may share an optimiser. A changed attribute takes effect at the next call of `fit`,
    `train_on_batch` or `step`; if a callback changes it during a fit, from the next epoch on. Setting a
    misspelt attribute raises AttributeError.

    Parameters
    ----------
    lr : float or callable
        The attribute of this name.
    maximize : bool
        The attribute of this name.

    Attributes
    ----------
    rule : str
        The name of the update rule.
    names : tuple of str
        The names of the settings, in the order of the constructor.
    lr : float or callable
        The learning rate: a number of at least 0, a schedule of `bpkern.schedules`, or any other callable of
        the iteration, which is the number of updates that the model has made.
    weight_decay : float or callable
        As the subclass defines it. It may be a schedule or a callable, as `lr`.
    maximize : bool
        Make the loss larger. Penalties of the model and weight decay stay as they are.
    """

    # Every class has slots, so that setting a misspelt attribute is an error.
    __slots__ = ("lr", "maximize")

    rule: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    _read: ClassVar[Callable[[Any], tuple[Any, ...]]]  # the attributes of these names, of an optimiser
    weight_decay: Rate  # a slot of each subclass

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if hasattr(cls, "names"):  # an abstract subclass may have none
            cls._read = attrgetter(*cls.names)

    def __init__(self, lr: Rate, maximize: bool = False) -> None:
        self.lr = lr
        self.maximize = maximize

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        for name, value in (("lr", self.lr), ("weight_decay", self.weight_decay)):
            if isinstance(value, (type, str)) or value is None:
                raise TypeError(
                    f"{name} must be a number, a schedule or a callable of the iteration, not {value!r}"
                )
            if not callable(value):
                _checks.real(name, value)
        _checks.flag("maximize", self.maximize)

    def values(self) -> tuple[Any, ...]:
        """The present attributes, in the order of the constructor."""
        return type(self)._read(self)

    def settings(self) -> dict[str, Any]:
        """The present attributes by name.

        Returns
        -------
        dict
            In the order of the constructor.
        """
        return dict(zip(self.names, self.values(), strict=True))

    def checked_copy(self) -> Self:
        """A new optimiser of the same class and settings.

        Raises
        ------
        ValueError, TypeError
            As `check`.
        """
        return type(self)(**self.settings())

    def __setstate__(self, state: Any) -> None:
        """As `Slotted`; pickles of older versions lack the settings that they did not have."""
        for name, value in _ADDED.items():
            if name in self.names:
                setattr(self, name, value)
        super().__setstate__(state)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in needed(self.settings()).items())
        return f"{type(self).__name__}({settings})"


# Settings that versions before 0.2 did not have, with the values that they meant.
_ADDED: dict[str, Any] = {"maximize": False, "dampening": 0.0}


def needed(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that texts show and files hold: without `_ADDED`, so that version 0.1 reads the files."""
    return {name: value for name, value in settings.items() if name not in _ADDED or value != _ADDED[name]}


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and weight decay as PyTorch defines them.

    For each weight and bias ``w`` with gradient ``g`` and velocity ``v``, zero at first::

        g <- g + weight_decay * w
        v <- momentum * v + (1 - dampening) * g         in the first update without dampening
        w <- w - lr * v                       plain momentum
        w <- w - lr * (g + momentum * v)      Nesterov

    The first update is that of the model, also for parameters that are unfrozen later.

    An optimiser holds settings only: models may share one. A changed attribute takes effect at the next call
    of `fit`, `train_on_batch` or `step`; if a callback changes it during a fit, from the next epoch on.

    Parameters
    ----------
    lr : float or callable
        The learning rate, at least 0, or a schedule or callable of the iteration.
    momentum : float
        From 0, which is without momentum, to 1.
    nesterov : bool
        Use Nesterov's momentum; needs a momentum above 0.
    weight_decay : float or callable
        At least 0, or a schedule or callable of the iteration; for weights and biases. (``MLP(l2=...)`` is
        for weights only.)
    dampening : float
        From 0 to 1: the part of the gradient that the velocity does not take; 0 with Nesterov.
    maximize : bool
        Make the loss larger: its gradient is taken with the opposite sign. Penalties and weight decay are
        not.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind, and for Nesterov without momentum or with dampening.
    """

    names = ("lr", "momentum", "nesterov", "weight_decay", "dampening", "maximize")
    __slots__ = names[1:-1]

    rule = "sgd"

    @proposes_arguments("SGD")
    def __init__(
        self,
        lr: Rate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: Rate = 0.0,
        dampening: float = 0.0,
        maximize: bool = False,
    ) -> None:
        super().__init__(lr, maximize)
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.dampening = dampening
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        super().check()
        _checks.real("momentum", self.momentum, 0.0, 1.0)
        _checks.real("dampening", self.dampening, 0.0, 1.0)
        if _checks.flag("nesterov", self.nesterov) and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, not 0")
        if self.nesterov and self.dampening:
            raise ValueError(f"nesterov needs a dampening of 0, not {self.dampening}")


class RMSprop(Optimizer):
    """Gradients divided by the root of a moving average of their squares, as in ``torch.optim.RMSprop``.

    For each weight and bias ``w`` with gradient ``g``; the averages ``s`` and ``m`` and the buffer ``v`` are
    zero at first (Hinton's lecture 6e; centred as in Graves, 2013)::

        g <- g + weight_decay * w
        s <- alpha * s + (1 - alpha) * g**2
        m <- alpha * m + (1 - alpha) * g      centered only
        d <- sqrt(s) + eps                    or, centered, sqrt(s - m**2) + eps
        w <- w - lr * g / d                   without momentum
        v <- momentum * v + g / d;  w <- w - lr * v     with momentum

    Parameters
    ----------
    lr : float or callable
        The learning rate, at least 0, or a schedule or callable of the iteration.
    alpha : float
        The decay factor of the averages at each update, from 0 to 1.
    eps : float
        At least 0; added outside the root.
    weight_decay : float or callable
        At least 0, or a schedule or callable of the iteration; for weights and biases.
    momentum : float
        From 0, which is without momentum, to 1.
    centered : bool
        Divide by an estimate of the standard deviation instead.
    maximize : bool
        Make the loss larger: its gradient is taken with the opposite sign. Penalties and weight decay are
        not.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    names = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize")
    __slots__ = names[1:-1]

    rule = "rmsprop"

    @proposes_arguments("RMSprop")
    def __init__(
        self,
        lr: Rate = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: Rate = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(lr, maximize)
        self.alpha = alpha
        self.eps = eps
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.centered = centered
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        super().check()
        _checks.real("alpha", self.alpha, 0.0, 1.0)
        _checks.real("eps", self.eps)
        _checks.real("momentum", self.momentum, 0.0, 1.0)
        _checks.flag("centered", self.centered)


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares, as in ``torch.optim.Adagrad``.

    For each weight and bias ``w`` with gradient ``g``, after ``t`` earlier updates; the sum ``s`` is
    ``initial_accumulator_value`` at first (Duchi et al., 2011)::

        g <- g + weight_decay * w
        s <- s + g**2
        w <- w - lr / (1 + t * lr_decay) * g / (sqrt(s) + eps)

    Parameters
    ----------
    lr : float or callable
        The learning rate, at least 0, or a schedule or callable of the iteration.
    lr_decay : float
        At least 0; in addition to a schedule.
    weight_decay : float or callable
        At least 0, or a schedule or callable of the iteration; for weights and biases.
    initial_accumulator_value : float
        At least 0. It is read when the sums are allocated, at the first update.
    eps : float
        At least 0; added outside the root.
    maximize : bool
        Make the loss larger: its gradient is taken with the opposite sign. Penalties and weight decay are
        not.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    names = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps", "maximize")
    __slots__ = names[1:-1]

    rule = "adagrad"

    @proposes_arguments("Adagrad")
    def __init__(
        self,
        lr: Rate = 0.01,
        lr_decay: float = 0.0,
        weight_decay: Rate = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        maximize: bool = False,
    ) -> None:
        super().__init__(lr, maximize)
        self.lr_decay = lr_decay
        self.weight_decay = weight_decay
        self.initial_accumulator_value = initial_accumulator_value
        self.eps = eps
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        super().check()
        for name in ("lr_decay", "initial_accumulator_value", "eps"):
            _checks.real(name, getattr(self, name))


class Adam(Optimizer):
    """Moving averages of the gradients and of their squares, as in ``torch.optim.Adam``.

    For each weight and bias ``w`` with gradient ``g``, in update number ``t``, from 1; the averages ``m`` and
    ``s`` and the maximum ``x`` are zero at first (Kingma and Ba, 2015; AMSGrad: Reddi et al., 2018)::

        g <- g + weight_decay * w
        m <- beta1 * m + (1 - beta1) * g
        s <- beta2 * s + (1 - beta2) * g**2
        x <- max(x, s)                                          amsgrad only: x replaces s below
        d <- sqrt(s) / sqrt(1 - beta2**t) + eps
        w <- w - lr / (1 - beta1**t) * m / d

    With `eps_hat`, as in scikit-learn, TensorFlow and Keras (section 2 of Kingma and Ba)::

        d <- (sqrt(s) + eps) / sqrt(1 - beta2**t)

    Parameters
    ----------
    lr : float or callable
        The learning rate, at least 0, or a schedule or callable of the iteration.
    betas : (float, float)
        The decay factors of the two averages at each update: at least 0 and below 1.
    eps : float
        At least 0; added outside the root.
    weight_decay : float or callable
        At least 0, or a schedule or callable of the iteration; for weights and biases. It is part of the
        gradient and thereby of the averages.
    amsgrad : bool
        Divide by the largest average of the squares so far.
    eps_hat : bool
        Add `eps` to the root of the average before its bias correction.
    maximize : bool
        Make the loss larger: its gradient is taken with the opposite sign. Penalties and weight decay are
        not.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    names = ("lr", "betas", "eps", "weight_decay", "amsgrad", "eps_hat", "maximize")
    __slots__ = names[1:-1]

    rule = "adam"

    @proposes_arguments("Adam")
    def __init__(
        self,
        lr: Rate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Rate = 0.0,
        amsgrad: bool = False,
        eps_hat: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(lr, maximize)
        # A list could change without an assignment to the attribute.
        self.betas = tuple(betas) if isinstance(betas, list) else betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.amsgrad = amsgrad
        self.eps_hat = eps_hat
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        super().check()
        _check_betas(self.betas)
        _checks.real("eps", self.eps)
        _checks.flag("amsgrad", self.amsgrad)
        _checks.flag("eps_hat", self.eps_hat)


def _check_betas(betas: Any) -> None:
    if not isinstance(betas, tuple):
        raise TypeError(f"betas must be a tuple of two numbers, not {betas!r}")
    if len(betas) != 2:
        raise ValueError(f"betas must be two numbers, not {len(betas)}")
    for i, beta in enumerate(betas):
        _checks.fraction(f"betas[{i}]", beta)


class AdamW(Adam):
    """Adam with weight decay decoupled from the gradient, as in ``torch.optim.AdamW``.

    As `Adam`, except the first line, which is (Loshchilov and Hutter, 2019)::

        w <- w * (1 - lr * weight_decay)

    Parameters
    ----------
    lr : float or callable
        As for `Adam`.
    betas : (float, float)
        As for `Adam`.
    eps : float
        As for `Adam`.
    weight_decay : float or callable
        At least 0, or a schedule or callable of the iteration; for weights and biases, multiplied by the
        learning rate.
    amsgrad, eps_hat, maximize : bool
        As for `Adam`.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    __slots__ = ()

    rule = "adamw"

    @proposes_arguments("AdamW")
    def __init__(
        self,
        lr: Rate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Rate = 0.01,
        amsgrad: bool = False,
        eps_hat: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, amsgrad, eps_hat, maximize)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum, as in ``torch.optim.NAdam``.

    For each weight and bias ``w`` with gradient ``g``, in update number ``t``, from 1; the averages ``m`` and
    ``s`` are zero at first (Dozat, 2016)::

        g <- g + weight_decay * w               or, decoupled, w <- w * (1 - lr * weight_decay)
        p(t) = beta1 * (1 - 0.96**(t * momentum_decay) / 2)
        P(t) = p(1) * p(2) * ... * p(t)
        m <- beta1 * m + (1 - beta1) * g
        s <- beta2 * s + (1 - beta2) * g**2
        d <- sqrt(s / (1 - beta2**t)) + eps
        w <- w - lr * ((1 - p(t)) / (1 - P(t)) * g + p(t + 1) / (1 - P(t + 1)) * m) / d

    Parameters
    ----------
    lr : float or callable
        The learning rate, at least 0, or a schedule or callable of the iteration.
    betas : (float, float)
        The decay factors of the two averages at each update: at least 0 and below 1.
    eps : float
        At least 0; added outside the root.
    weight_decay : float or callable
        At least 0, or a schedule or callable of the iteration; for weights and biases.
    momentum_decay : float
        At least 0: how fast the momentum grows from half of beta1 to beta1.
    decoupled_weight_decay : bool
        As in `AdamW`; otherwise weight decay is part of the gradient, and thereby of the averages.
    maximize : bool
        Make the loss larger: its gradient is taken with the opposite sign. Penalties and weight decay are
        not.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    names = (
        "lr",
        "betas",
        "eps",
        "weight_decay",
        "momentum_decay",
        "decoupled_weight_decay",
        "maximize",
    )
    __slots__ = names[1:-1]

    rule = "nadam"

    @proposes_arguments("NAdam")
    def __init__(
        self,
        lr: Rate = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Rate = 0.0,
        momentum_decay: float = 0.004,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(lr, maximize)
        self.betas = tuple(betas) if isinstance(betas, list) else betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.momentum_decay = momentum_decay
        self.decoupled_weight_decay = decoupled_weight_decay
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        super().check()
        _check_betas(self.betas)
        for name in ("eps", "momentum_decay"):
            _checks.real(name, getattr(self, name))
        _checks.flag("decoupled_weight_decay", self.decoupled_weight_decay)


# The classes by rule: the name in files and in C.
OPTIMIZERS: dict[str, type[Optimizer]] = {
    each.rule: each for each in (SGD, RMSprop, Adagrad, Adam, AdamW, NAdam)
}
