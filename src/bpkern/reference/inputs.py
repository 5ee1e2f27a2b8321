"""What stands in front of layer 0: forward, and the gradients of its parameters."""

import numpy as np

from ..inputs import CategoryEmbedding, Scale


class Stage:
    """The inputs of a model on parameters of the caller.

    Parameters
    ----------
    stage : InputStage
    parameters : list of ndarray
        In the order of ``stage.shapes``.
    """

    def __init__(self, stage, parameters):
        self._stage = stage
        self._values = []  # the parameters of each of the inputs
        rest = list(parameters)
        for place in stage.places:
            self._values.append(rest[: len(place.shapes)])
            rest = rest[len(place.shapes) :]

    def forward(self, x):
        """The inputs of layer 0 (n, width) for x (n, columns); and these before `Scale`."""
        parts = [x[:, [column]] for column in range(self._stage.columns)]
        for (given, columns, _), values in zip(self._stage.places, self._values, strict=True):
            for i, column in enumerate(columns):
                if isinstance(given, CategoryEmbedding):
                    parts[column] = values[0][x[:, column].astype(np.int64)]
                else:
                    parts[column] = np.hstack([_linear(x[:, [column]], i, *values), x[:, [column]]])
        embedded = np.hstack(parts)
        return embedded * self._scale() if self._has_scale else embedded, embedded

    def backward(self, x, embedded, delta):
        """The gradients in the order of the parameters, from the derivative `delta` (n, width) of the loss by
        the inputs of layer 0."""
        gradients = [[np.zeros_like(value) for value in values] for values in self._values]
        if self._has_scale:
            gradients[-1][0][...] = (delta * embedded).sum(axis=0)
            delta = delta * self._scale()
        ends = np.cumsum([self._outputs(column) for column in range(self._stage.columns)])
        for (given, columns, _), values, found in zip(
            self._stage.places, self._values, gradients, strict=True
        ):
            for i, column in enumerate(columns):
                own = delta[:, ends[column] - int(given.dim) : ends[column]]
                if isinstance(given, CategoryEmbedding):
                    np.add.at(found[0], x[:, column].astype(np.int64), own)
                else:
                    _linear_gradients(x[:, [column]], i, values, own[:, :-1], found)
        return [gradient for found in gradients for gradient in found]

    @property
    def _has_scale(self):
        return isinstance(self._stage.inputs[-1], Scale)

    def _scale(self):
        return self._values[-1][0]

    def _outputs(self, column):
        return next((int(given.dim) for given, columns, _ in self._stage.places if column in columns), 1)


def stage_of(settings, parameters):
    """The stage of a model with the parameters [W, b, ..., those of the inputs, ...]; None without inputs."""
    if settings.stage is None:
        return None
    start = 2 * len(settings.activations)
    return Stage(settings.stage, parameters[start : start + len(settings.stage.shapes)])


def _linear(x, i, weight_1, bias_1, weight_2, bias_2):
    """cos(2 pi x w + b) w2 + b2 of column number i of an embedding, x (n, 1)."""
    return np.cos(_angle(x, weight_1[i], bias_1[i])) @ weight_2[i] + bias_2[i]


def _angle(x, w, b):
    return x * (w.dtype.type(2 * np.pi) * w) + b


def _linear_gradients(x, i, values, delta, gradients):
    """Write the gradients of column number i, from the derivative by its linear outputs."""
    weight_1, bias_1, weight_2, _ = values
    angle = _angle(x, weight_1[i], bias_1[i])
    through = -np.sin(angle) * (delta @ weight_2[i].T)
    gradients[0][i] = (x * through).sum(axis=0) * weight_1.dtype.type(2 * np.pi)
    gradients[1][i] = through.sum(axis=0)
    gradients[2][i] = np.cos(angle).T @ delta
    gradients[3][i] = delta.sum(axis=0)
