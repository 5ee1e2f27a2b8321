"""What coverage-guided fuzzing calls with its bytes; fuzzing.py runs it.

python tests/attacks/fuzz_targets.py TARGET [CORPUS] [-runs=N] [FILE]

TARGET is npz, safetensors, csr or constructors; the other arguments are those of libFuzzer. A FILE that
libFuzzer has written for a failure repeats that failure. A target passes if its bytes end in a result or a
documented error.
"""

import contextlib
import itertools
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris
import numpy as np

# Instrumented: the fuzzer sees which lines of these modules run. Those that are imported late come first.
with atheris.instrument_imports(include=["bpkern"]):
    import bpkern
    from bpkern import callbacks, losses, schedules
    from bpkern._data import sparse  # noqa: F401
    from bpkern._files import checkpoints, container, model_file, npz, state, tensors  # noqa: F401

from hostile import metadata_of
from invariants import DOCUMENTED

Bytes = atheris.FuzzedDataProvider

X = np.linspace(-1, 1, 40).reshape(8, 5)
LABELS = np.arange(8) % 3

# Networks with more weights are not made: only time would be lost.
MOST_WEIGHTS = 10**5


# Values ----------------------------------------------------------------------------------------------------


NAMES = (
    *(
        "relu",
        "gelu",
        "identity",
        "mse",
        "cross_entropy",
        "huber",
        "quantile",
        "poisson",
        "float32",
        "float64",
    ),
    *("auto", "orthogonal", "he_normal", "loss", "val_loss", "min", "max", "accuracy", "sgd", "adam", ""),
)
NUMBERS = (0, 1, 2, 3, 5, -1, 2**31, 2**63, 10**400, 0.0, 0.5, 1.0, 0.999, -0.5, 1e-320, 1e39, 1e308)


def squares(outputs: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return ((outputs - y) ** 2).mean(axis=1), 2 * (outputs - y) / y.shape[1]


def value_of(given: Bytes, depth: int = 0) -> Any:
    """Any value that a caller may pass."""
    kind = given.ConsumeIntInRange(0, 16 if depth < 3 else 8)
    if kind < 3:
        return given.PickValueInList(list(NUMBERS))
    if kind < 5:
        return given.PickValueInList(list(NAMES))
    simple: tuple[Callable[[], Any], ...] = (
        lambda: given.ConsumeIntInRange(-10, 10),
        lambda: given.ConsumeFloat(),
        lambda: given.PickValueInList([None, True, False]),
        lambda: given.ConsumeUnicode(8),
    )
    if kind < 9:
        return simple[kind - 5]()
    items = [value_of(given, depth + 1) for _ in range(given.ConsumeIntInRange(0, 3))]
    made: tuple[Callable[[], Any], ...] = (
        lambda: items,
        lambda: tuple(items),
        lambda: {str(item): item for item in items},
        lambda: np.array(items if kind % 2 else given.ConsumeFloatListInRange(3, -2, 2)),
        lambda: np.float32(given.ConsumeFloat()),
        lambda: given.PickValueInList([squares, len, int, object(), np.random.default_rng(1), LABELS]),
        lambda: given.PickValueInList(
            [losses.Huber(), schedules.Step(0.1, 2), bpkern.Adam(), callbacks.Callback()]
        ),
        lambda: [3, 4, 2],
    )
    return made[kind - 9]()


# Files -----------------------------------------------------------------------------------------------------


def models() -> list[bpkern.MLP]:
    falling = bpkern.RMSprop(lr=schedules.Cosine(0.01, 50), momentum=0.5, centered=True)
    made = [
        bpkern.MLP([5, 4, 3], loss="cross_entropy", optimizer=bpkern.Adam(amsgrad=True), dropout=0.1, seed=0),
        bpkern.MLP([5, 3], loss=losses.Huber([0.5, 1.0, 2.0]), optimizer=falling, dtype="float64", seed=1),
    ]
    made[0].fit(X, LABELS, ema=0.9, validation_split=0.25, verbose=0)
    made[1].fit(X, np.eye(3)[LABELS], verbose=0)
    return made


class Files:
    """Files of one format: any bytes; or any configuration and arrays, with their right digest."""

    def __init__(self, suffix: str) -> None:
        self._folder = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self._path = os.path.join(self._folder.name, f"net{suffix}")
        self._format = container.FORMATS[suffix]
        self.raw, self._contents = [], []
        for model in models():
            model.save(self._path)
            self.raw.append(Path(self._path).read_bytes())
            self._contents.append(container.read(self._path))

    def seeds(self) -> list[bytes]:
        """Inputs to begin with."""
        texts = [json.dumps(config).encode() for config, _ in self._contents]
        return [b"\0" + raw for raw in self.raw] + [b"\1" + text for text in texts] + [b"\2" * 60]

    def __call__(self, raw: bytes) -> None:
        kind, rest = raw[:1], raw[1:]
        if kind == b"\1":
            text, arrays = rest.decode(errors="replace"), self._contents[len(rest) % 2][1]
            self._write(text, arrays)
        elif kind == b"\2":
            given = Bytes(rest)
            config, arrays = self._contents[given.ConsumeIntInRange(0, 1)]
            config, arrays = json.loads(json.dumps(config)), dict(arrays)
            for _ in range(given.ConsumeIntInRange(1, 3)):
                self._edit(given, config, arrays)
            try:
                text = json.dumps(config)
            except (TypeError, ValueError):
                return
            self._write(text, arrays)
        else:
            Path(self._path).write_bytes(rest)
        try:
            model = bpkern.MLP.load(self._path)
        except ValueError as error:
            if self._path not in str(error):
                raise RuntimeError("an error that does not name the file") from error
            return
        use(model)

    def _write(self, text: str, arrays: dict[str, np.ndarray]) -> None:
        with open(self._path, "wb") as file:
            self._format.write(file, metadata_of(text, arrays), arrays)

    def _edit(self, given: Bytes, config: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Replace one value of the configuration, or one array."""
        if given.ConsumeBool():
            place: Any = config
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                key = given.PickValueInList(keys)
                if not isinstance(place[key], (dict, list)) or not place[key] or given.ConsumeBool():
                    break
                place = place[key]
            place[key] = value_of(given)
            return
        name = given.PickValueInList(sorted(arrays))
        array = arrays.pop(name)
        edits: list[Callable[[], np.ndarray]] = [
            lambda: array.astype(given.PickValueInList(["f2", "f4", "f8", "i1", "i8", "?", "u4"])),
            lambda: array.reshape(-1),
            lambda: array[None],
            lambda: array[:-1] if array.ndim else array,
            lambda: np.full(array.shape, given.ConsumeFloat(), array.dtype),
            lambda: np.concatenate([np.atleast_1d(array)] * 2),
        ]
        with np.errstate(all="ignore"):
            changed = given.PickValueInList(edits)()
        if given.ConsumeIntInRange(0, 4):
            arrays[given.PickValueInList([name, name, *sorted(arrays), "9.weight", "init.0.weight"])] = (
                changed
            )


def use(model: bpkern.MLP) -> None:
    """Predict and train. Neither may read or write out of bounds."""
    width, outputs = model.layers[0], model.layers[-1]
    if sum(a * b for a, b in itertools.pairwise(model.layers)) > MOST_WEIGHTS:
        return
    if not all(np.isfinite(array).all() for pair in model.get_weights() for array in pair):
        raise AssertionError("weights that are not finite")
    y = np.zeros(4, np.int64) if model.loss == "cross_entropy" else np.full((4, outputs), 0.5)
    try:
        model.predict(np.ones((2, width)))
        model.fit(np.ones((4, width)), y, verbose=0)
    except DOCUMENTED:
        return


# Sparse rows -----------------------------------------------------------------------------------------------


class Csr:
    """A CSR matrix whose parts are arrays of any dtype, shape and values, as a user may set them."""

    def __init__(self) -> None:
        self._model = models()[0]

    def seeds(self) -> list[bytes]:
        return [bytes([number]) * 80 for number in range(0, 256, 16)]

    def __call__(self, raw: bytes) -> None:
        from scipy.sparse import csr_matrix

        given, x = Bytes(raw), csr_matrix(np.where(X > 0, X, 0))
        for name in ("data", "indices", "indptr"):
            if given.ConsumeBool():
                setattr(x, name, self._part(given, getattr(x, name)))
        calls: list[Callable[[], Any]] = [
            lambda: self._model.predict(x),
            lambda: self._model.evaluate(x, LABELS),
            lambda: self._model.fit(x, LABELS, batch_size=3, verbose=0),
            lambda: self._model.train_on_batch(x, LABELS),
            lambda: bpkern.fit_many([self._model], x, LABELS, n_threads=1, verbose=0),
        ]
        try:
            given.PickValueInList(calls)()
        except DOCUMENTED:
            return
        data, indices, pointers = (np.shape(part) for part in (x.data, x.indices, x.indptr))
        if len(pointers) != 1 or data != indices or len(data) != 1 or data[0] < x.indptr[-1]:
            raise AssertionError(f"parts of shapes {data}, {indices} and {pointers} were read")

    def _part(self, given: Bytes, array: np.ndarray) -> Any:
        kinds = [
            "f4",
            "f8",
            "i4",
            "i8",
            "u1",
            "u4",
            "u8",
            "i2",
            "?",
            "c8",
            "O",
            "f2",
            ">i4",
            ">f8",
            "S3",
            "g",
        ]
        numbers = [
            given.PickValueInList([0, 1, 2, 4, 5, -1, 30, 2**31 - 1])
            for _ in range(given.ConsumeIntInRange(0, 12))
        ]
        forms: list[Callable[[], Any]] = [
            lambda: array.astype(given.PickValueInList(kinds)),
            lambda: np.array(numbers, given.PickValueInList(kinds[:8])),
            lambda: np.concatenate([array[: given.ConsumeIntInRange(0, 20)], np.array(numbers, array.dtype)]),
            lambda: array[:, None],
            lambda: np.zeros((len(array), 0), array.dtype),
            lambda: array[::-1],
            lambda: array[::2],
            lambda: np.broadcast_to(array[:1], array.shape),
            lambda: array.tolist(),
            lambda: value_of(given),
        ]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return given.PickValueInList(forms)()
            except (ValueError, TypeError, OverflowError):
                return array


# Constructors ----------------------------------------------------------------------------------------------


def _model(given: Bytes, **named: Any) -> None:
    sizes = named.get("layers", [3, 4, 2])
    try:
        listed = [int(size) for size in sizes]
        if sum(a * b for a, b in itertools.pairwise(listed)) > MOST_WEIGHTS:
            return
    except (TypeError, ValueError, OverflowError):
        pass
    layers, loss = named.pop("layers", [3, 4, 2]), named.pop("loss", "mse")
    model = bpkern.MLP(layers, loss=loss, **named)
    repr(model)
    str(model.summary())
    use(model)


def _optimizer(kind: type[bpkern.SGD]) -> Callable[..., None]:
    def make(given: Bytes, **named: Any) -> None:
        _model(given, optimizer=kind(**named))

    return make


def _schedule(kind: type[schedules.Schedule]) -> Callable[..., None]:
    def make(given: Bytes, **named: Any) -> None:
        made = kind(**named)
        repr(made)
        _model(given, optimizer=bpkern.SGD(made))

    return make


def _loss(kind: type[losses.Loss]) -> Callable[..., None]:
    def make(given: Bytes, **named: Any) -> None:
        _model(given, loss=kind(**named))

    return make


def _callback(kind: type[callbacks.Callback]) -> Callable[..., None]:
    def make(given: Bytes, **named: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if "path" in named and isinstance(named["path"], str):
                named["path"] = os.path.join(folder, named["path"].replace("/", "_"))
            made = kind(**named)
            repr(made)
            bpkern.MLP([5, 3], loss="cross_entropy").fit(X, LABELS, callbacks=made, verbose=0)

    return make


def _fit(given: Bytes, **named: Any) -> None:
    if isinstance(named.get("epochs", 1), int) and named.get("epochs", 1) > 5:
        return
    bpkern.MLP([5, 3], loss="cross_entropy").fit(X, LABELS, **({"verbose": 0} | named))


def _estimator(given: Bytes, **named: Any) -> None:
    from bpkern.sklearn import MLPClassifier

    numbers = named.get("max_iter", 1), named.get("hidden_layer_sizes", 1)
    if any(isinstance(number, int) and number > 50 for number in numbers):
        return
    MLPClassifier(**({"max_iter": 2, "hidden_layer_sizes": (3,)} | named)).fit(X, LABELS)


# By constructor: what makes and uses its object, and the names of its arguments.
CONSTRUCTORS: list[tuple[Callable[..., None], tuple[str, ...]]] = [
    (
        _model,
        (
            *(
                "layers",
                "activation",
                "output_activation",
                "loss",
                "optimizer",
                "dtype",
                "init",
                "l2",
                "dropout",
            ),
            *("l1", "label_smoothing", "seed"),
        ),
    ),
    *(
        (_optimizer(kind), kind.names)
        for kind in (bpkern.SGD, bpkern.RMSprop, bpkern.Adagrad, bpkern.Adam, bpkern.AdamW)
    ),
    *((_schedule(kind), kind.names) for kind in schedules.SCHEDULES.values()),
    *((_loss(kind), kind.__slots__) for kind in losses.BY_NAME.values()),
    (_callback(callbacks.EarlyStopping), ("monitor", "patience", "min_delta", "mode")),
    (
        _callback(callbacks.ReduceLROnPlateau),
        ("monitor", "factor", "patience", "min_delta", "cooldown", "min_lr", "mode"),
    ),
    (_callback(callbacks.ModelCheckpoint), ("path", "monitor", "save_best_only", "mode", "every")),
    (_callback(callbacks.CSVLogger), ("path", "append", "separator")),
    (
        _fit,
        (
            *("epochs", "batch_size", "shuffle", "validation_data", "validation_split", "sample_weight"),
            *("class_weight", "metrics", "callbacks", "clip_norm", "clip_value", "accumulate", "ema"),
            *("checkpoint_every", "resume"),
        ),
    ),
    (
        _estimator,
        (
            *(
                "hidden_layer_sizes",
                "activation",
                "alpha",
                "batch_size",
                "learning_rate",
                "learning_rate_init",
            ),
            *("power_t", "max_iter", "shuffle", "random_state", "tol", "momentum", "early_stopping"),
            *("validation_fraction", "beta_1", "beta_2", "epsilon", "n_iter_no_change", "solver"),
        ),
    ),
]


class Constructors:
    """A public constructor with any arguments, of which the object is then used."""

    def seeds(self) -> list[bytes]:
        return [bytes([number]) * 60 for number in range(0, 256, 8)]

    def __call__(self, raw: bytes) -> None:
        given = Bytes(raw)
        make, names = given.PickValueInList(CONSTRUCTORS)
        chosen = {given.PickValueInList(list(names)) for _ in range(given.ConsumeIntInRange(0, 3))}
        with contextlib.suppress(*DOCUMENTED):
            make(given, **{name: value_of(given) for name in sorted(chosen)})


# The command -----------------------------------------------------------------------------------------------


TARGETS: dict[str, Callable[[], Any]] = {
    "npz": lambda: Files(".npz"),
    "safetensors": lambda: Files(".safetensors"),
    "csr": Csr,
    "constructors": Constructors,
}


def main() -> None:
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    target = TARGETS[sys.argv[1]]()
    arguments = [sys.argv[0], *sys.argv[2:]]
    folders = [argument for argument in arguments[1:] if os.path.isdir(argument)]
    for folder in folders:
        for number, seed in enumerate(target.seeds()):
            Path(folder, f"seed-{number}").write_bytes(seed)
    atheris.Setup(arguments, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
