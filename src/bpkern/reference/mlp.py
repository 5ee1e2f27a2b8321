"""The trainer: checks of the data, mini-batches, updates and the history."""

import math
from typing import Any

import numpy as np

from .._arguments import proposes_arguments
from .._data.class_weights import row_weights
from .._data.rows import as_rows, as_sample_weight, as_targets, classes_of
from .._fit import data_init
from .._fit.arguments import FitArguments
from .._fit.progress import make_progress
from .._model.groups import frozen, listed, with_factors, with_ntk_factors
from .._model.parameters import Weights, checked_weights
from .._model.scheduled import probabilities
from .._model.seeding import RandomState
from .._model.settings import Settings
from ..errors import DivergedError
from ..history import History
from . import dropout as drop
from .network import Batch, Network
from .update import Update


class MLP:
    """`bpkern.MLP` in plain NumPy: the same arguments, initial weights, shuffles and, to rounding, losses."""

    @proposes_arguments("MLP")
    def __init__(
        self,
        layers: Any,
        *,
        activation: Any = "relu",
        output_activation: Any = "identity",
        loss: Any,
        optimizer: Any = None,
        dtype: Any = "float32",
        init: Any = "auto",
        l2: Any = 0.0,
        dropout: Any = 0.0,
        l1: Any = 0.0,
        label_smoothing: Any = 0.0,
        bias: Any = True,
        inputs: Any = (),
        input_dropout: Any = 0.0,
        seed: Any = None,
    ) -> None:
        settings = self._settings = Settings(
            layers,
            activation,
            output_activation,
            loss,
            optimizer,
            dtype,
            init,
            l2,
            dropout,
            l1,
            label_smoothing,
            bias,
            inputs,
            input_dropout,
        )
        self._random = RandomState(seed)
        extra, of_extra = settings.extra, np.empty(0)
        if extra is not None:
            of_extra = self._random.initial_extra(extra, settings.dtype)
        # All at once: the key of dropout is drawn after the weights.
        initial = list(
            self._random.each_initial_layer(settings.init, settings.sizes, settings.dtype, settings.bias)
        )
        if settings.has_dropout:
            self._random.draw_dropout_key()
        self._batches = 0  # mini-batches so far, the counter of dropout
        self._parameters = [array for pair in initial for array in pair]
        self._parameters += [] if extra is None else extra.named(of_extra).values()
        self._net = Network(settings, self._parameters)
        self._update = Update(self._net, self._parameters)
        self._fitted_1d = False
        self.history_: History | None = None

    @property
    def optimizer(self) -> Any:
        """The settings of the optimiser."""
        return self._settings.optimizer

    def freeze(self, layers: Any = None, weights: Any = True, biases: Any = True) -> None:
        """Leave parameters as they are in training; see `bpkern.MLP.freeze`."""
        settings = self._settings
        settings.groups = frozen(settings.groups, layers, True, weights=weights, biases=biases)

    def unfreeze(self, layers: Any = None, weights: Any = True, biases: Any = True) -> None:
        """Train parameters again; see `bpkern.MLP.unfreeze`."""
        settings = self._settings
        settings.groups = frozen(settings.groups, layers, False, weights=weights, biases=biases)

    def set_factors(
        self,
        layers: Any = None,
        *,
        lr: Any = None,
        weight_decay: Any = None,
        weights: Any = True,
        biases: Any = True,
    ) -> None:
        """Multiply the learning rate and weight decay of some parameters; see `bpkern.MLP.set_factors`."""
        settings = self._settings
        settings.groups = with_factors(
            settings.groups, layers, lr, weight_decay, weights=weights, biases=biases
        )

    def set_ntk_factors(self, *, bias_scale: Any = 1.0) -> None:
        """Train as in the NTK parametrisation; see `bpkern.MLP.set_ntk_factors`."""
        settings = self._settings
        settings.groups = with_ntk_factors(settings.groups, settings.sizes, settings.optimizer, bias_scale)

    @property
    def parameter_groups(self) -> list[dict[str, Any]]:
        """What `freeze` and `set_factors` have set; see `bpkern.MLP.parameter_groups`."""
        return listed(self._settings.groups, self._settings.bias)

    @np.errstate(all="ignore")
    @proposes_arguments("MLP.fit")
    def fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: Any = 1,
        batch_size: Any = 32,
        shuffle: Any = True,
        validation_data: Any = None,
        validation_split: Any = 0.0,
        sample_weight: Any = None,
        class_weight: Any = None,
        clip_norm: Any = None,
        clip_value: Any = None,
        accumulate: Any = 1,
        drop_last: Any = False,
        ema: Any = None,
        verbose: Any = "auto",
        n_threads: Any = None,
    ) -> History:
        """Train; see `bpkern.MLP.fit`. BLAS has its own threads: n_threads is ignored."""
        settings = self._settings
        optimizer = settings.current_optimizer()
        arguments = FitArguments(
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            validation_data=validation_data,
            validation_split=validation_split,
            clip_norm=clip_norm,
            clip_value=clip_value,
            accumulate=accumulate,
            drop_last=drop_last,
            ema=ema,
        )
        x, targets, given = self._read(X, y, sample_weight)
        classes = classes_of(targets, settings)
        weights = row_weights(class_weight, classes, given, max(settings.layers[-1], 2))
        order = np.arange(len(x))
        validation = None
        if validation_data is not None:
            validation = self._read(*validation_data, *(None,) * (3 - len(validation_data)))
        if validation_split:
            order, held_out = self._random.split(len(x), validation_split, classes)
            # Validation rows keep their sample weights, without the weights of their classes.
            validation = (x[held_out], targets[held_out], None if given is None else given[held_out])
        rows = len(order)
        used = rows // arguments.batch_size * arguments.batch_size if arguments.drop_last else rows
        if not used:
            raise ValueError(f"drop_last leaves no mini-batch of {arguments.batch_size} among {rows} rows")
        batch_size = min(arguments.batch_size, rows)
        batches = {n: Batch(n, settings, targets.ndim == 1) for n in {batch_size, rows % batch_size} if n}
        held_out_batch = None if validation is None else self._batch_of(*validation)
        self._fitted_1d = np.ndim(y) == 1
        history = self.history_ = History()
        progress = make_progress(verbose)
        progress.begin(epochs, used, 0)
        for epoch in range(epochs):
            index = (order[self._random.permutation(rows)] if shuffle else order)[:used]
            loss = accuracy = weight = 0.0
            iterations = 0
            for group in _parts(index, batch_size * arguments.accumulate):
                group_weight = len(group) if weights is None else float(weights[group].sum())
                for number, part in enumerate(_parts(group, batch_size)):
                    batch = batches[len(part)]
                    np.take(x, part, axis=0, out=batch.x, mode="clip")
                    np.take(targets, part, axis=0, out=batch.y, mode="clip")
                    batch.weights = None if weights is None else weights[part]
                    sums = self._gradients(batch, group_weight, add=number > 0)
                    if not math.isfinite(sums[0]):
                        raise DivergedError(
                            "the loss is no longer finite", epoch, history.iterations + iterations
                        )
                    loss, accuracy, weight = loss + sums[0], accuracy + sums[1], weight + sums[2]
                    iterations += 1
                if group_weight > 0:
                    self._update.step(optimizer, arguments.clip_norm, arguments.clip_value, arguments.ema)
            metrics = self._metrics(loss, accuracy, weight)
            if held_out_batch is not None:
                values = self._measure(held_out_batch)
                metrics.update({f"val_{name}": value for name, value in values.items()})
            history.add_epoch(metrics, iterations, self._update.rate)
            progress.rows(used)
            progress.epoch(epoch + 1, metrics)
        progress.close()
        return history

    def _gradients(self, batch, total, add):
        """Compute the update's gradients, with dropout; returns the sums of `Network.loss`.

        They are divided by `total`, the weight of all mini-batches of the update, and with `add` added to
        those of the mini-batches before.
        """
        self._draw_masks(batch)
        sums = self._net.loss(batch)
        if total > 0 and math.isfinite(sums[0]):
            self._net.backward(batch, total, self._update.gradients, self._update.spare, add)
        return sums

    @np.errstate(all="ignore")
    def gradients(self, X: Any, y: Any) -> tuple[float, Weights]:
        """(loss, [(dW, db), ...]); see `bpkern.MLP.gradients`."""
        batch = self._batch_of(*self._read(X, y, None))
        loss, _, total = self._net.loss(batch)
        gradients, spare = ([np.empty_like(w) for w in self._parameters] for _ in range(2))
        self._net.backward(batch, total, gradients, spare)
        self._net.add_penalty(gradients, spare)
        for db, has_bias in zip(self._of_layers(gradients)[1::2], self._settings.bias, strict=True):
            db *= has_bias
        return loss / total, _pairs(self._of_layers(gradients))

    def _draw_masks(self, batch):
        """Draw the masks of dropout of the next mini-batch, and drop its inputs."""
        settings, key = self._settings, self._random.dropout_key
        hidden, of_inputs = probabilities(settings, self._update.iterations)
        if of_inputs:
            batch.x *= drop.mask(of_inputs, settings.dtype, key, self._batches, drop.INPUTS, *batch.x.shape)
        for l, p in enumerate(hidden):
            batch.masks[l] = None
            if p:
                batch.masks[l] = drop.mask(p, settings.dtype, key, self._batches, l, *batch.a[l].shape)
        self._batches += 1

    def _batch_of(self, x, targets, weights):
        """A new batch with these rows."""
        batch = Batch(len(x), self._settings, targets.ndim == 1)
        batch.x[...], batch.y[...], batch.weights = x, targets, weights
        return batch

    @np.errstate(all="ignore")
    def forward(self, X: Any) -> np.ndarray:
        """Outputs (n, out); see `bpkern.MLP.forward`."""
        x = np.asarray(as_rows(X, self._settings.layers[0]), self._settings.dtype)
        return self._predicting().outputs(x)

    @np.errstate(all="ignore")
    def predict(self, X: Any) -> np.ndarray:
        """Classes or values; see `bpkern.MLP.predict`."""
        outputs = self.forward(X)
        if self._settings.loss == "cross_entropy":
            return outputs.argmax(axis=1)
        if self._settings.loss == "binary_cross_entropy":
            classes = (outputs > 0).astype(np.int64)
            return classes[:, 0] if classes.shape[1] == 1 else classes
        return outputs[:, 0] if self._fitted_1d and outputs.shape[1] == 1 else outputs

    @np.errstate(all="ignore")
    def evaluate(self, X: Any, y: Any) -> dict[str, float]:
        """Loss and accuracy; see `bpkern.MLP.evaluate`."""
        return self._measure(self._batch_of(*self._read(X, y, None)))

    def get_weights(self) -> Weights:
        """Copies [(W, b), ...] of the parameters that predict: the average, if there is one."""
        average = self._update.average
        return _pairs([w.copy() for w in self._of_layers(self._parameters if average is None else average)])

    def get_inputs(self) -> dict[str, np.ndarray]:
        """Copies of the extra parameters that predict, those in front of layer 0 and those of activations, by
        their names in `MLP.state_dict`."""
        settings, average = self._settings, self._update.average
        values = (self._parameters if average is None else average)[2 * len(settings.activations) :]
        names = [] if settings.extra is None else settings.extra.shapes
        return {name: value.copy() for name, value in zip(names, values, strict=True)}

    def set_weights(self, weights: Any) -> None:
        """Set the weights from [(W, b), ...]. Other parameters keep the values that predict.
        An average starts again at the next update."""
        settings, average = self._settings, self._update.average
        pairs = checked_weights(weights, settings.sizes, settings.dtype, settings.bias)
        for parameter, given in zip(
            self._of_layers(self._parameters), (w for pair in pairs for w in pair), strict=True
        ):
            parameter[...] = given
        if average is not None:
            count = 2 * len(settings.activations)
            for parameter, averaged in zip(self._parameters[count:], average[count:], strict=True):
                parameter[...] = averaged
        self._update.average = None

    @np.errstate(all="ignore")
    def initialize(self, X: Any, *, weights: Any = "std", biases: Any = "he+5") -> None:
        """Draw new weights and biases by the data; see `bpkern.MLP.initialize`."""
        data_init.check(weights, biases)
        settings, generator = self._settings, self._random.generator
        x = np.asarray(as_rows(X, settings.layers[0]), settings.dtype)
        batch = Batch(min(len(x), data_init.MOST_ROWS), settings, labels=True)
        np.take(x, data_init.some_rows(generator, len(x)), axis=0, out=batch.x)
        layers = _pairs(self._of_layers(self._parameters))
        for l, (w, b) in enumerate(layers):
            self._net.forward(batch)
            data_init.draw_layer(generator, batch.below(l), w, b, weights, biases)
        self._update = Update(self._net, self._parameters)
        self._batches, self.history_ = 0, None

    def _of_layers(self, parameters):
        """Those of [W, b, ..., parameters of the inputs] that belong to layers."""
        return parameters[: 2 * len(self._settings.activations)]

    def _predicting(self):
        """The network that predicts: with the average, if there is one."""
        average = self._update.average
        return self._net if average is None else Network(self._settings, average)

    def _measure(self, batch):
        """The loss and, for the two cross-entropies, the accuracy of a batch, without training on it."""
        return self._metrics(*self._predicting().loss(batch))

    def _metrics(self, loss, accuracy, weight):
        """The means from the sums of `Network.loss`."""
        metrics = {"loss": loss / weight}
        if self._settings.has_accuracy:
            metrics["accuracy"] = accuracy / weight
        return metrics

    def _read(self, X, y, sample_weight) -> tuple[np.ndarray, np.ndarray, Any]:
        """X and y in the model's dtype (labels in int64), and the weights (n,) in float64 or None."""
        x = np.asarray(as_rows(X, self._settings.layers[0]), self._settings.dtype)
        if len(x) == 0:
            raise ValueError("X has no rows")
        targets = as_targets(y, len(x), self._settings)
        if targets.ndim == 2:
            targets = np.asarray(targets, self._settings.dtype)
        if not (np.isfinite(x).all() and np.isfinite(targets).all()):
            raise ValueError("X and y must be finite")
        return x, targets, as_sample_weight(sample_weight, len(x))


def _parts(index, size):
    """The index in parts of `size`; the last may be shorter."""
    return (index[start : start + size] for start in range(0, len(index), size))


def _pairs(parameters):
    """[(W, b), ...] from [W, b, W, b, ...]."""
    return list(zip(parameters[0::2], parameters[1::2], strict=True))
