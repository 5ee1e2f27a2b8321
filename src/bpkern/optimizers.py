"""The settings of the optimisers. The kernels and `bpkern.reference` do the arithmetic."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar, Self

from . import _checks
from ._arguments import proposes_arguments
from ._slots import Slotted

# A number, or a schedule or any other function of the iteration, which is the number of updates made so far.
LearningRate = float | Callable[[int], Any]


class Optimizer(Slotted):
    """The base class of the optimisers. They hold settings and no state.

    Models may share an optimiser. A changed attribute takes effect at the next call of `fit`,
    `train_on_batch` or `step`; if a callback changes it during a fit, from the next epoch on. Setting a
    misspelt attribute raises AttributeError.

    Parameters
    ----------
    lr : float or callable
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
    weight_decay : float
        As the subclass defines it.
    """

    # Every class has slots, so that setting a misspelt attribute is an error.
    __slots__ = ("lr",)

    rule: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    weight_decay: float  # a slot of each subclass

    def __init__(self, lr: LearningRate) -> None:
        self.lr = lr

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        if isinstance(self.lr, (type, str)) or self.lr is None:
            raise TypeError(
                f"lr must be a number, a schedule or a callable of the iteration, not {self.lr!r}"
            )
        if not callable(self.lr):
            _checks.real("lr", self.lr)

    def values(self) -> tuple[Any, ...]:
        """The present attributes, in the order of the constructor."""
        values: tuple[Any, ...] = attrgetter(*self.names)(self)
        return values

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

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.settings().items())
        return f"{type(self).__name__}({settings})"


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and weight decay as PyTorch defines them.

    For each weight and bias ``w`` with gradient ``g`` and velocity ``v``, zero at first::

        g <- g + weight_decay * w
        v <- momentum * v + g
        w <- w - lr * v                       plain momentum
        w <- w - lr * (g + momentum * v)      Nesterov

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
    weight_decay : float
        At least 0; for weights and biases. (``MLP(l2=...)`` is for weights only.)

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind, and for Nesterov without momentum.
    """

    names = ("lr", "momentum", "nesterov", "weight_decay")
    __slots__ = names[1:]

    rule = "sgd"

    @proposes_arguments("SGD")
    def __init__(
        self,
        lr: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr)
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        super().check()
        _checks.real("momentum", self.momentum, 0.0, 1.0)
        _checks.real("weight_decay", self.weight_decay)
        if _checks.flag("nesterov", self.nesterov) and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, not 0")


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
    weight_decay : float
        At least 0; for weights and biases.
    momentum : float
        From 0, which is without momentum, to 1.
    centered : bool
        Divide by an estimate of the standard deviation instead.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    names = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered")
    __slots__ = names[1:]

    rule = "rmsprop"

    @proposes_arguments("RMSprop")
    def __init__(
        self,
        lr: LearningRate = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(lr)
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
        _checks.real("weight_decay", self.weight_decay)
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
    weight_decay : float
        At least 0; for weights and biases.
    initial_accumulator_value : float
        At least 0. It is read when the sums are allocated, at the first update.
    eps : float
        At least 0; added outside the root.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    names = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
    __slots__ = names[1:]

    rule = "adagrad"

    @proposes_arguments("Adagrad")
    def __init__(
        self,
        lr: LearningRate = 0.01,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(lr)
        self.lr_decay = lr_decay
        self.weight_decay = weight_decay
        self.initial_accumulator_value = initial_accumulator_value
        self.eps = eps
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        super().check()
        for name in ("lr_decay", "weight_decay", "initial_accumulator_value", "eps"):
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
    weight_decay : float
        At least 0; for weights and biases. It is part of the gradient and thereby of the averages.
    amsgrad : bool
        Divide by the largest average of the squares so far.
    eps_hat : bool
        Add `eps` to the root of the average before its bias correction.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    names = ("lr", "betas", "eps", "weight_decay", "amsgrad", "eps_hat")
    __slots__ = names[1:]

    rule = "adam"

    @proposes_arguments("Adam")
    def __init__(
        self,
        lr: LearningRate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        eps_hat: bool = False,
    ) -> None:
        super().__init__(lr)
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
        if not isinstance(self.betas, tuple):
            raise TypeError(f"betas must be a tuple of two numbers, not {self.betas!r}")
        if len(self.betas) != 2:
            raise ValueError(f"betas must be two numbers, not {len(self.betas)}")
        for i, beta in enumerate(self.betas):
            _checks.fraction(f"betas[{i}]", beta)
        _checks.real("eps", self.eps)
        _checks.real("weight_decay", self.weight_decay)
        _checks.flag("amsgrad", self.amsgrad)
        _checks.flag("eps_hat", self.eps_hat)


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
    weight_decay : float
        At least 0; for weights and biases, multiplied by the learning rate.
    amsgrad, eps_hat : bool
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
        lr: LearningRate = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        eps_hat: bool = False,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, amsgrad, eps_hat)


# The classes by rule: the name in files and in C.
OPTIMIZERS: dict[str, type[Optimizer]] = {each.rule: each for each in (SGD, RMSprop, Adagrad, Adam, AdamW)}
