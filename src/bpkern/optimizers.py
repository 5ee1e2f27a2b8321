"""The settings of an optimiser. The arithmetic is in the kernels, and in `bpkern.reference` once more."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar, Self

from . import _checks

# A number, or a schedule or any other function of the iteration: how many updates the model has made.
LearningRate = float | Callable[[int], Any]


class Optimizer:
    """What all optimisers have in common: settings, and no state.

    Models may share an optimiser, and a changed attribute takes effect at the next call of `fit` or
    `train_on_batch`. A misspelt attribute is an AttributeError.

    Attributes
    ----------
    rule : str
        The name of the class's arithmetic.
    names : tuple of str
        Those of the settings, in the order of the constructor.
    lr : float or callable
        The learning rate: a number of at least 0, or a schedule of `bpkern.schedules` or any other callable
        of the iteration, which is the number of updates that the model has made, from 0.
    """

    # A misspelt attribute is an error, not a setting that nobody reads: every class has slots.
    __slots__ = ("lr",)

    rule: ClassVar[str]
    names: ClassVar[tuple[str, ...]]

    def __init__(self, lr: LearningRate) -> None:
        self.lr = lr

    def check(self) -> None:
        """Raise ValueError or TypeError where the attributes as they are now make no optimiser."""
        if isinstance(self.lr, (type, str)) or self.lr is None:
            raise TypeError(
                f"lr must be a number, a schedule or a callable of the iteration, not {self.lr!r}"
            )
        if not callable(self.lr):
            _checks.real("lr", self.lr)

    def values(self) -> tuple[Any, ...]:
        """The attributes as they are now, in the order of the constructor."""
        values: tuple[Any, ...] = attrgetter(*self.names)(self)
        return values

    def settings(self) -> dict[str, Any]:
        """The attributes as they are now by name, in the order of the constructor."""
        return dict(zip(self.names, self.values(), strict=True))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name. scikit-learn's searches know them by it, as in ``optimizer__lr``."""
        return self.settings()

    def set_params(self, **settings: Any) -> Self:
        """Change settings: all that are given, or none where one of them does not fit.

        Raises
        ------
        ValueError, TypeError
            For a setting that there is none of, and as the constructor.
        """
        for name in settings:
            if name not in self.names:
                raise ValueError(
                    f"{type(self).__name__} has no setting {name!r}: there are {', '.join(self.names)}"
                )
        checked = type(self)(**{**self.settings(), **settings})
        for name in settings:
            setattr(self, name, getattr(checked, name))
        return self

    def checked_copy(self) -> Self:
        """An optimiser of the same class and settings.

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

    An optimiser holds settings only: models may share one, and a changed attribute takes effect at the next
    call of `fit` or `train_on_batch`.

    Parameters
    ----------
    lr : float or callable
        The learning rate, at least 0, or a schedule or callable of the iteration.
    momentum : float
        From 0, which is none, to 1.
    nesterov : bool
        Look ahead along the velocity; needs a momentum above 0.
    weight_decay : float
        At least 0; for weights and biases alike. (`MLP(l2=...)` is for the weights only.)

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind, and Nesterov without momentum.
    """

    names = ("lr", "momentum", "nesterov", "weight_decay")
    __slots__ = names[1:]

    rule = "sgd"

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
        """Raise ValueError or TypeError where the attributes as they are now make no optimiser."""
        super().check()
        _checks.real("momentum", self.momentum, 0.0, 1.0)
        _checks.real("weight_decay", self.weight_decay)
        if _checks.flag("nesterov", self.nesterov) and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, not 0")


class RMSprop(Optimizer):
    """Gradients divided by the root of a moving average of their squares, as `torch.optim.RMSprop` does it.

    For each weight and bias ``w`` with gradient ``g``; the averages ``s`` and ``m`` and the buffer ``v`` are
    zero at first (Hinton's lecture 6e; centred as in Graves, 2013)::

        g <- g + weight_decay * w
        s <- alpha * s + (1 - alpha) * g**2
        m <- alpha * m + (1 - alpha) * g      centered only
        d <- sqrt(s) + eps                    or, centered, sqrt(s - m**2) + eps
        w <- w - lr * g / d                   without momentum
        v <- momentum * v + g / d;  w <- w - lr * v

    Parameters
    ----------
    lr : float or callable
        The learning rate, at least 0, or a schedule or callable of the iteration.
    alpha : float
        What is kept of the averages at each update, from 0 to 1.
    eps : float
        At least 0; outside the root.
    weight_decay : float
        At least 0; for weights and biases alike.
    momentum : float
        From 0, which is none, to 1.
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
        """Raise ValueError or TypeError where the attributes as they are now make no optimiser."""
        super().check()
        _checks.real("alpha", self.alpha, 0.0, 1.0)
        _checks.real("eps", self.eps)
        _checks.real("weight_decay", self.weight_decay)
        _checks.real("momentum", self.momentum, 0.0, 1.0)
        _checks.flag("centered", self.centered)


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares, as `torch.optim.Adagrad` does it.

    For each weight and bias ``w`` with gradient ``g``, in the update after ``t`` others; the sum ``s`` is
    ``initial_accumulator_value`` at first (Duchi et al., 2011)::

        g <- g + weight_decay * w
        s <- s + g**2
        w <- w - lr / (1 + t * lr_decay) * g / (sqrt(s) + eps)

    Parameters
    ----------
    lr : float or callable
        The learning rate, at least 0, or a schedule or callable of the iteration.
    lr_decay : float
        At least 0; on top of a schedule.
    weight_decay : float
        At least 0; for weights and biases alike.
    initial_accumulator_value : float
        At least 0. It is read when the sums are made, which is at the first update.
    eps : float
        At least 0; outside the root.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    names = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
    __slots__ = names[1:]

    rule = "adagrad"

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
        """Raise ValueError or TypeError where the attributes as they are now make no optimiser."""
        super().check()
        for name in ("lr_decay", "weight_decay", "initial_accumulator_value", "eps"):
            _checks.real(name, getattr(self, name))


class Adam(Optimizer):
    """Moving averages of the gradients and of their squares, as `torch.optim.Adam` has them.

    For each weight and bias ``w`` with gradient ``g``, in update number ``t``, from 1; the averages ``m`` and
    ``s`` and the maximum ``x`` are zero at first (Kingma and Ba, 2015; AMSGrad: Reddi et al., 2018)::

        g <- g + weight_decay * w
        m <- beta1 * m + (1 - beta1) * g
        s <- beta2 * s + (1 - beta2) * g**2
        x <- max(x, s)                                          amsgrad only: x is for s in what follows
        d <- sqrt(s) / sqrt(1 - beta2**t) + eps
        w <- w - lr / (1 - beta1**t) * m / d

    With `eps_hat`, as scikit-learn, TensorFlow and Keras have it (section 2 of Kingma and Ba)::

        d <- (sqrt(s) + eps) / sqrt(1 - beta2**t)

    Parameters
    ----------
    lr : float or callable
        The learning rate, at least 0, or a schedule or callable of the iteration.
    betas : (float, float)
        What is kept of the two averages at each update: at least 0 and below 1.
    eps : float
        At least 0; outside the root.
    weight_decay : float
        At least 0; for weights and biases alike. It becomes part of the gradient, and so of its averages.
    amsgrad : bool
        Divide by the largest average of the squares there has been.
    eps_hat : bool
        Add `eps` to the root of the average as it stands, before what it lacks at first is made up for.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    names = ("lr", "betas", "eps", "weight_decay", "amsgrad", "eps_hat")
    __slots__ = names[1:]

    rule = "adam"

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
        # A list could change without the attribute being set.
        self.betas = tuple(betas) if isinstance(betas, list) else betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.amsgrad = amsgrad
        self.eps_hat = eps_hat
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError where the attributes as they are now make no optimiser."""
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
    """Adam with the weight decay apart from the gradient, as `torch.optim.AdamW` has it.

    As `Adam`, but for its first line, which is (Loshchilov and Hutter, 2019)::

        w <- w * (1 - lr * weight_decay)

    Parameters
    ----------
    lr, betas, eps, amsgrad, eps_hat
        As for `Adam`.
    weight_decay : float
        At least 0; for weights and biases alike, times the learning rate.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    __slots__ = ()

    rule = "adamw"

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


# By rule: what a name in a file stands for.
OPTIMIZERS: dict[str, type[Optimizer]] = {each.rule: each for each in (SGD, RMSprop, Adagrad, Adam, AdamW)}
