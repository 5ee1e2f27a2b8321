"""The whole state of a model in the form of files: a configuration of plain values, and arrays.

The configuration holds the constructor's arguments under "model", and the state of training under "training".
The arrays "0.weight", "0.bias", ... are the parameters that predict. If these are an average, the trained
parameters are "trained.0.weight", .... The optimiser's states "m", "v" and "u" (bpkern.h), in the shapes of
the parameters, are "m.0.weight", ..., "v.0.weight", ... and "u.0.weight", ...; initial weights that were
given as arrays are "init.0.weight", ...; the parameters in front of layer 0 are "inputs.0.scale", ... with
the same prefixes, and their settings stand under "inputs" of the model's configuration; the shares of
parametric activations are "activations.0.alpha", ... with the same prefixes; the columns of the history are
"history.loss", ..., of any lengths.
The weights of a compressed model are "0.weight.bfloat16", ... (`bpkern._model.compression`), and its
configuration holds the type, "bfloat16", under "compressed". Layers without biases have zeros as "0.bias".
Groups of parameters that are not plain (`bpkern._model.groups`) are under "groups", outside of "model",
because `MLP.freeze` may change them during a fit. So is the default of the initial weights, "init".
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np

from .. import _checks, _core, losses, optimizers, schedules
from .._model.compression import BFLOAT16, MARK, narrowed, widened
from .._model.conventions import Conventions
from .._model.core import Core
from .._model.groups import Groups, config_of, groups_of, plain_groups
from .._model.initializers import AUTO, has_arrays, of_version_0_1
from .._model.parameters import Weights, checked_weights, state_of, weights_of
from .._model.seeding import RandomState
from .._model.settings import DTYPES, Settings, refuse_extra
from ..history import History

# Replaces a Python callable, which no file can hold.
CALLABLE = {"callable": True}

# The key for the name of a user's own class of optimiser or loss. No file holds the code of the class.
OWN_CLASS = "own_class"

# The optimiser's states, by their names in `_core.Network` and in files.
STATES = ("m", "v", "u")

# The errors that a configuration or arrays of other origin cause in the functions of this module.
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

# The largest number of updates in a file: 64 bits leave room to count on.
MOST_COUNT = 1 << 62

# What model.init holds if all weights are drawn by AUTO, a name that version 0.1 does not know. The weights
# of both have the same distribution. The name itself is outside of "model", where 0.1 ignores it.
INIT_OF_0_1 = "glorot_uniform"

# What version 2 of the format has added to the constructor's arguments.
ARGUMENTS_OF_2 = ("inputs", "bias", "input_dropout")

Config = dict[str, Any]
Arrays = dict[str, np.ndarray]


# The constructor's arguments ------------------------------------------------------------------------------


def model_config(settings: Settings) -> Config:
    """The constructor's arguments, except the seed."""
    # Without inputs, files are as they were before there were any.
    inputs: Config = {} if settings.stage is None else {"inputs": settings.stage.config()}
    return inputs | {
        "layers": settings.layers,
        "activation": settings.activation_texts[:-1],
        "output_activation": settings.activations[-1],
        "loss": _loss_config(settings),
        "optimizer": optimizer_config(settings.optimizer),
        "dtype": settings.dtype.name,
        "init": None if has_arrays(settings.init) else _plain_init(settings.init),
        "l2": settings.l2,
        "dropout": [_scheduled_config(each) for each in settings.dropout],
        "l1": settings.l1,
        "label_smoothing": settings.label_smoothing,
        # Older versions read files that do not need these.
        **({"input_dropout": _scheduled_config(settings.input_dropout)} if settings.input_dropout else {}),
        **({} if all(settings.bias) else {"bias": settings.bias}),
    }


def version_of(config: Config) -> int:
    """The version of the format for a configuration. Readers of version 1 would ignore what needs version 2,
    or fail without naming a version."""
    model = config["model"]
    may_be_scheduled = [*model["dropout"], model["optimizer"]["weight_decay"]]
    is_scheduled = any(isinstance(each, dict) for each in may_be_scheduled)
    is_parametric = any(each.startswith("parametric") for each in model["activation"])
    has_more = "groups" in config or any(name in model for name in ARGUMENTS_OF_2)
    return 2 if has_more or is_scheduled or is_parametric else 1


def _plain_init(init: Any) -> Any:
    """A name as it is, or a list of lists [name, gain]."""
    return init if isinstance(init, str) else [list(each) for each in init]


def _loss_config(settings: Settings) -> Any:
    given = settings.given_loss
    if isinstance(given, losses.Loss):
        config = {"name": given.name, **_plain(given.settings())}
        return config | _own_class(given, losses.BY_NAME.values())
    return CALLABLE if settings.custom_loss else settings.loss


def optimizer_config(optimizer: optimizers.Optimizer) -> Config:
    """The settings and the rule of an optimiser."""
    settings = optimizers.needed(optimizer.settings())
    plain = _plain({name: value for name, value in settings.items() if not callable(value)})
    scheduled = {name: _scheduled_config(value) for name, value in settings.items() if callable(value)}
    own = _own_class(optimizer, optimizers.OPTIMIZERS.values())
    return {"rule": optimizer.rule, **plain, "lr": _scheduled_config(optimizer.lr)} | scheduled | own


def _scheduled_config(value: Any) -> Any:
    """A setting that may change from update to update: a number, a schedule or CALLABLE."""
    # A schedule of a user's own class is treated as any other Python callable.
    if isinstance(value, schedules.Schedule) and type(value) in schedules.SCHEDULES.values():
        return {"schedule": type(value).__name__, **_plain(value.settings())}
    return CALLABLE if callable(value) else float(value)


def _scheduled(config: Any) -> Any:
    """The inverse of `_scheduled_config`, except for CALLABLE; other values as they are."""
    if not isinstance(config, dict):
        return config
    settings = dict(config)
    return schedules.SCHEDULES[settings.pop("schedule")](**settings)


def _own_class(given: Any, known: Iterable[type]) -> Config:
    """The name of its class under OWN_CLASS, unless the class is one of the package."""
    return {} if type(given) in known else {OWN_CLASS: type(given).__name__}


def _plain(settings: Mapping[str, Any]) -> Config:
    """Settings that JSON returns unchanged: NumPy's numbers as Python's, tuples as lists."""
    return {
        name: np.asarray(value).tolist() if value is not None else None for name, value in settings.items()
    }


def arguments_of(config: Config, arrays: Arrays, loss: Any, optimizer: Any) -> dict[str, Any]:
    """The constructor's arguments of a configuration.

    `loss` and `optimizer` replace those of the configuration unless they are None. They are required if the
    loss or the learning rate was a Python callable.

    Raises
    ------
    One of MALFORMED
    """
    arguments = {**config["model"], "init": init_in(config)}
    # Checked first: nothing is allocated for sizes that a file only claims.
    found = _sizes(arrays)
    if "inputs" in arguments:
        found = _columns_of(arguments, found)
    if arguments["layers"] != found:
        raise ValueError(f"the layers must be those of the arrays, {found}")
    _checks.one_of("dtype", arguments["dtype"], DTYPES)
    arguments["dropout"] = [_scheduled(each) for each in arguments["dropout"]]
    arguments["input_dropout"] = _scheduled(arguments.get("input_dropout", 0.0))
    arguments["loss"] = loss_of(arguments["loss"]) if loss is None else loss
    arguments["optimizer"] = optimizer_of(arguments["optimizer"]) if optimizer is None else optimizer
    if arguments["init"] is None:
        arguments["init"] = _layers(arrays, "init.", len(arguments["layers"]) - 1)
    return arguments


def init_in(config: Config) -> Any:
    """The initial weights of a configuration, without arrays."""
    own = config["model"]["init"]
    if "init" not in config:
        return own
    if own != INIT_OF_0_1:
        raise ValueError(f"model.init must be {INIT_OF_0_1!r} beside init, not {own!r}")
    return config["init"]


def _sizes(arrays: Arrays) -> list[int]:
    """The sizes of the layers, by the shapes of the weights."""
    sizes: list[int] = []
    while (w := _weight(arrays, len(sizes))) is not None:
        sizes.append(w.shape[0])
    first = _weight(arrays, 0)
    if first is None:
        raise ValueError("there is no array 0.weight")
    return [first.shape[1], *sizes]


def _columns_of(arguments: dict[str, Any], sizes: list[int]) -> list[int]:
    """The layers of a model with inputs, by the sizes of its arrays; makes its inputs of their settings."""
    from .._model.input_stage import InputStage, inputs_of

    # No input has fewer outputs than columns: the number of columns that a file claims is one that fits.
    columns = _checks.whole("the first layer", arguments["layers"][0], 1, sizes[0])
    arguments["inputs"] = inputs_of(arguments["inputs"])
    if InputStage(arguments["inputs"], columns).width != sizes[0]:
        raise ValueError(f"the inputs of layer 0 must be those of the arrays, {sizes[0]}")
    return [columns, *sizes[1:]]


def _weight(arrays: Arrays, l: int) -> np.ndarray | None:
    """W of layer l, or the bits of its bfloat16."""
    return arrays.get(f"{l}.weight", arrays.get(f"{l}.weight{MARK}"))


def _settings_of(arguments: dict[str, Any], config: Config) -> Settings:
    """The settings of a configuration. Raises one of MALFORMED."""
    init = of_version_0_1(arguments["init"], [*arguments["activation"], arguments["output_activation"]])
    settings = Settings(**{**arguments, "init": init})
    if "compressed" in config:
        settings.compressed = _checks.one_of("compressed", config["compressed"], (BFLOAT16,))
    settings.groups = groups_in(config, len(settings.groups))
    return settings


def groups_in(config: Config, layers: int) -> Groups:
    """The groups of a configuration. Raises one of MALFORMED."""
    return groups_of(config["groups"], layers) if "groups" in config else plain_groups(layers)


def loss_of(config: Any) -> Any:
    """The loss of a configuration. Raises one of MALFORMED."""
    if isinstance(config, str):
        return config
    if config == CALLABLE:
        raise ValueError("the model has a Python function as its loss, which no file holds: give loss=")
    settings = dict(config)
    if OWN_CLASS in settings:
        raise ValueError(
            f"the model's loss is of the class {settings[OWN_CLASS]}, which no file holds: give loss="
        )
    return losses.BY_NAME[settings.pop("name")](**settings)


def optimizer_of(config: Config) -> optimizers.Optimizer:
    """The optimiser of a configuration. Raises one of MALFORMED."""
    settings = dict(config)
    if OWN_CLASS in settings:
        raise ValueError(
            f"the model's optimiser is of the class {settings[OWN_CLASS]}, which no file holds: "
            "give optimizer="
        )
    kind = optimizers.OPTIMIZERS[settings.pop("rule")]
    for name, what in (("lr", "learning rate"), ("weight_decay", "weight decay")):
        if settings[name] == CALLABLE:
            raise ValueError(
                f"the model has a Python function as its {what}, which no file holds: give optimizer="
            )
        settings[name] = _scheduled(settings[name])
    return kind(**settings)


# The state of training -------------------------------------------------------------------------------------


def model_state(core: Core) -> tuple[Config, Arrays]:
    """The whole state of a model, all read at one moment.

    Raises
    ------
    ValueError, TypeError
        For a bit generator that is not NumPy's, settings that the optimiser cannot have, and a history that
        is not lists of numbers by name.
    RuntimeError
        While another thread trains the model.
    """
    net, settings = core.net, core.settings
    settings.optimizer.check()
    with net.reading():
        stores = net.stores()
        arrays = core.get_state("average" if "average" in stores else "parameters", absent=True)
        if "average" in stores:
            arrays |= _prefixed("trained.", core.get_state("parameters", absent=True))
        for store in STATES:
            if store in stores:
                arrays |= _prefixed(f"{store}.", core.get_state(store, absent=True))
        updates, batches = net.counts
        history = core.history
        columns = {} if history is None else _columns(history)
        training = {
            "updates": updates,
            "batches": batches,
            "moves": net.moves,  # updates since the optimiser's states were zero
            "random": core.random.config(),
            "one_dimension": core.fitted_1d,  # the name in files, which must stay
            "iterations": None if history is None else _iterations(history.iterations),
            "metrics": list(columns),
        }
        if history is not None:
            training |= _ending(history)
    config: Config = {"model": model_config(settings), "training": training}
    if config["model"]["init"] == AUTO:
        config["model"]["init"], config["init"] = INIT_OF_0_1, AUTO
    if settings.groups != plain_groups(len(settings.groups)):
        config["groups"] = config_of(settings.groups)
    if settings.compressed is not None:
        arrays, config["compressed"] = narrowed(arrays), settings.compressed
    if has_arrays(settings.init):
        arrays |= _prefixed("init.", state_of(cast(Weights, settings.init)))
    arrays |= {f"history.{name}": values for name, values in columns.items()}
    return config, arrays


def loadable_state(core: Core) -> tuple[Config, Arrays]:
    """As `model_state`, after a check that it can be loaded: users may have edited parts of the model.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As `model_state`, and for settings and values that a model cannot have.
    """
    settings = core.settings
    config, arrays = model_state(core)
    model = config["model"]
    try:
        arguments = arguments_of(
            config,
            arrays,
            settings.given_loss if needs_python(model["loss"]) else None,
            settings.optimizer if needs_python(model["optimizer"]) else None,
        )
        checked_state(_settings_of(arguments, config), config, arrays)
    except MALFORMED as error:
        raise ValueError(f"the model cannot be kept in a file: {error}") from error
    return config, arrays


def needs_python(config: Any) -> bool:
    """Whether `load` needs the loss or optimiser of this configuration as an argument."""
    return isinstance(config, dict) and (
        config == CALLABLE
        or CALLABLE in (config.get("lr"), config.get("weight_decay"))
        or OWN_CLASS in config
    )


def _columns(history: History) -> Arrays:
    """The columns of a history, each as float64 (epochs,).

    Raises
    ------
    ValueError, TypeError
        For names that are not strings, a column with the name of the learning rates, and as `_column`.
    """
    for name in history:
        if not isinstance(name, str):
            raise TypeError(f"the names in history_ must be strings, not {name!r}")
        if name == "lr":
            raise ValueError("no list in history_ must be called 'lr': the learning rates are history_.lr")
    return {_checks.as_str(name): _column(name, values) for name, values in history.columns().items()}


def _column(name: Any, values: Any) -> np.ndarray:
    """A list of the history as float64 (epochs,). Raises TypeError for anything but a list of numbers."""
    try:
        column = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"history_[{name!r}] must be a list of numbers: {error}") from None
    if column.ndim != 1:
        raise TypeError(f"history_[{name!r}] must be a list of numbers, not {values!r}")
    return column


def _ending(history: History) -> Config:
    """How the fit of a history has ended, without what is None. Raises TypeError and ValueError."""
    ending: Config = {}
    if history.best_epoch is not None:
        ending["best_epoch"] = _checks.whole("history_.best_epoch", history.best_epoch, 0, MOST_COUNT)
    if history.stop_reason is not None:
        if not isinstance(history.stop_reason, str):
            raise TypeError(f"history_.stop_reason must be a text or None, not {history.stop_reason!r}")
        ending["stop_reason"] = _checks.as_str(history.stop_reason)
    return ending


def _iterations(value: Any) -> int:
    return _checks.whole("history_.iterations", value, 0, MOST_COUNT)


def _prefixed(prefix: str, state: Arrays) -> Arrays:
    return {f"{prefix}{name}": array for name, array in state.items()}


class State(NamedTuple):
    """A checked state for `restore`.

    Attributes
    ----------
    stores : dict of str to Weights
        The trained parameters and, if they exist, the optimiser's states and the average.
    counts : (int, int)
        Updates and mini-batches.
    moves : int
        Updates since the optimiser's states began.
    random : RandomState
    fitted_1d : bool
        As `Core.fitted_1d`.
    history : History or None
    extra : dict of str to ndarray
        For each of the stores, the extra parameters, flat, if there are any.
    """

    stores: dict[str, Weights]
    counts: tuple[int, int]
    moves: int
    random: RandomState
    fitted_1d: bool
    history: History | None
    extra: Mapping[str, np.ndarray]

    def but(self, **changes: Any) -> State:
        """The state with other values of the named attributes."""
        return self._replace(**changes)


def checked_state(settings: Settings, config: Config, arrays: Arrays) -> State:
    """The state of a model of these settings.

    Raises
    ------
    One of MALFORMED
        For anything that is not the state of a model with these settings.
    """
    training = config["training"]
    has_average = "trained.0.weight" in arrays
    if settings.compressed and (has_average or any(f"{store}.0.weight" in arrays for store in STATES)):
        raise ValueError("a compressed model has no parameters besides those that predict")
    prefixes = {"parameters": "trained.", "average": ""} if has_average else {"parameters": ""}
    prefixes |= {store: f"{store}." for store in STATES if f"{store}.0.weight" in arrays}
    count = len(settings.layers) - 1
    stores, extra = {}, {}
    for store, prefix in prefixes.items():
        if settings.extra is not None:
            extra[store] = _extra(settings, arrays, prefix)
        layers = _layers(arrays, prefix, count, settings.compressed is not None)
        if any(array.dtype != settings.dtype for pair in layers for array in pair):
            raise ValueError(f"the arrays must be of the model's dtype, {settings.dtype}")
        # Of biases that a layer does not have, states may hold any numbers: nothing reads them.
        bias = [True] * count if store in STATES else settings.bias
        stores[store] = checked_weights(layers, settings.sizes, settings.dtype, bias, copy=False)
    updates, batches, moves = (
        _checks.whole(name, training[name], 0, MOST_COUNT) for name in ("updates", "batches", "moves")
    )
    return State(
        stores,
        (updates, batches),
        moves,
        RandomState.of(training["random"]),
        _checks.flag("one_dimension", training["one_dimension"]),
        None if training["iterations"] is None else _history(training, arrays),
        extra,
    )


def _extra(settings: Settings, arrays: Arrays, prefix: str) -> np.ndarray:
    """The extra parameters whose names begin with a prefix, flat. Raises ValueError."""
    assert settings.extra is not None
    named = {name: arrays.get(f"{prefix}{name}") for name in settings.extra.shapes}
    missing = [name for name, array in named.items() if array is None]
    if missing:
        raise ValueError(f"there is no array {prefix}{missing[0]}")
    return settings.extra.flat(named, settings.dtype)


def _history(training: Config, arrays: Arrays) -> History:
    """The history of a state. Raises one of MALFORMED."""
    columns = {name: arrays[f"history.{name}"] for name in training["metrics"]}
    for name, values in columns.items():
        # Of any length: users may append to the lists.
        if values.ndim != 1 or values.dtype != np.float64:
            raise ValueError(f"the history must hold a list of numbers for {name}")
    reason, best = training.get("stop_reason"), training.get("best_epoch")
    if reason is not None and not isinstance(reason, str):
        raise TypeError(f"stop_reason must be a text, not {reason!r}")
    return History.of(
        _iterations(training["iterations"]),
        {name: values.tolist() for name, values in columns.items()},
        reason,
        None if best is None else _checks.whole("best_epoch", best, 0, MOST_COUNT),
    )


def new_core(
    arguments: Config, config: Config, arrays: Arrays, conventions: Callable[[Settings], Conventions]
) -> Core:
    """The core of a model in a saved state.

    Parameters
    ----------
    arguments : dict
        From `arguments_of`.
    config, arrays
        As from `model_state`.
    conventions : callable
        The conventions of the model's class.

    Raises
    ------
    MemoryError
    One of MALFORMED
    """
    settings = _settings_of(arguments, config)
    # Checked before the network is allocated: its sizes are those of arrays that exist.
    found = checked_state(settings, config, arrays)
    settings.conventions = conventions(settings)
    core = Core(settings)
    restore(core, found)
    return core


def compressed_core(core: Core, dtype: str, conventions: Callable[[Settings], Conventions]) -> Core:
    """As `MLP.compress`: a core with the parameters that predict, rounded, and without states of training.

    Raises
    ------
    ValueError, TypeError, RuntimeError, MemoryError
        As `MLP.compress`.
    """
    settings = core.settings
    _checks.one_of("dtype", dtype, (BFLOAT16,))
    core.net.check_trains()
    refuse_extra(settings, "compress")
    if settings.dtype != np.float32:
        raise ValueError(
            f"compress is for models of float32, not {settings.dtype.name}: make one, "
            "MLP(..., dtype='float32', init=model.get_weights())"
        )
    config, arrays = model_state(core)
    arguments = arguments_of(config, arrays, settings.given_loss, settings.optimizer)
    # Nothing resets to given arrays, which would take more memory than the weights.
    arguments["init"] = AUTO
    small = _settings_of(arguments, {"compressed": dtype})
    small.conventions = conventions(small)
    found = checked_state(settings, config, arrays)
    predicting = found.stores.get("average", found.stores["parameters"])
    new = Core(small)
    restore(new, found.but(stores={"parameters": predicting}))
    if not all(np.isfinite(w).all() for w, _ in new.get_weights()):
        raise ValueError(f"the weights must be finite in {dtype}, whose largest number is 3.39e38")
    return new


def training_copy(core: Core, settings: Settings) -> Core:
    """A core that would train as this one, to the bit. It shares the generator, which training steps do not
    use, and has no history.

    Parameters
    ----------
    core : Core
    settings : Settings
        A copy of its settings.

    Raises
    ------
    RuntimeError, MemoryError
    """
    net = core.net
    with net.reading():
        stores = {name: net.get_layers(name) for name in net.stores()}
        extra = {name: net.get_extra(name) for name in net.stores()} if core.settings.extra else {}
        state = State(stores, net.counts, net.moves, core.random, core.fitted_1d, None, extra)
    new = Core(settings)
    restore(new, state)
    return new


def restore(core: Core, state: State) -> None:
    """Put a model into a state that was checked with its settings. The optimiser's settings stay."""
    net = core.net
    with net.writing():
        net.make_room(state.stores)  # first: a MemoryError leaves the model unchanged
        core.tape = _core.Tape(net)  # stored gradients belong to the old weights
        net.keep_only(state.stores)
        for store, layers in state.stores.items():
            # Already checked; another check would need memory for a copy. Only who unpickles with buffers of
            # their own could change these arrays meanwhile, and pickles are trusted.
            net.set_layers(layers, store, finite=False, extra=state.extra.get(store))
        net.counts, net.moves = state.counts, state.moves
        hidden, of_inputs = core.settings.nominal_dropout
        net.set_dropout(hidden, state.random.dropout_key, of_inputs)
        core.random, core.history = state.random, state.history
        core.fitted_1d, core.stop_training = state.fitted_1d, False


def _layers(arrays: Arrays, prefix: str, count: int, compressed: bool = False) -> list[tuple[Any, Any]]:
    """The unchecked [(W, b), ...] of `count` layers whose names begin with a prefix. Raises ValueError."""
    names = {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix) and name.removeprefix(prefix)[:1].isdigit()
    }
    return weights_of(widened(names) if compressed else names, count)
