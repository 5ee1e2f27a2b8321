"""What an attribute that does not exist is called here: the names of other libraries' models and modules.

Only messages of errors need this module, which is imported for them.
"""

from ._suggestions import ARGUMENTS

_PARAMETERS = "get_weights and state_dict return the parameters"
_MODES = "fit trains with dropout, and predict and forward compute without: there are no modes"
_DRAWN = "history_.plot() draws learning curves, and trace(X, y).save('step.html') a training step"
_A_LAYER = "as in trace.steps[0].layers[1].{}, the steps and layers counted from 0"
# Attributes of other libraries' models, by the class here.
ATTRIBUTES: dict[str, dict[str, str]] = {
    "MLP": {
        "compile": "MLP takes the loss and the optimizer, and fit the metrics",
        "add": "MLP takes the sizes of all layers, as in MLP([3, 4, 2], loss='mse')",
        "clone": "copy() is an independent model in the same state",
        "to": "a model computes on CPUs; its dtype is an argument of MLP",
        "cuda": "a model computes on CPUs",
        "train": _MODES,
        "eval": _MODES,
        "zero_grad": "gradients and train_on_batch start from zero, and step clears what backward has added",
        "partial_fit": "train_on_batch(X, y) makes one step; bpkern.sklearn.MLPClassifier has partial_fit",
        "score": "evaluate(X, y) returns the loss and metrics",
        "test_on_batch": "evaluate(X, y) returns the loss and metrics",
        "predict_on_batch": "predict(X)",
        "fit_generator": "fit takes an iterable of batches (X, y) in place of X and y",
        "soft_update": "polyak_update(other, tau)",
        "save_weights": "save(path) writes the whole model, and MLP.load reads it",
        "load_weights": "MLP.load(path) reads a whole model, and load_state_dict sets parameters",
        "history": "history_ is that of the last fit",
        "explain": "trace(X, y).explain('layers[0].W[0, 0]')",
        "graph": "bpkern.graph.from_trace(model.trace(X, y).steps[0])",
        "export": "bpkern.export has to_c, to_onnx, to_torch and to_safetensors",
        **dict.fromkeys(("parameters", "weights", "coefs_", "get_parameters"), _PARAMETERS),
        **dict.fromkeys(("plot", "draw", "show"), _DRAWN),
        **{
            name: f"bpkern.export.{name}(model)" for name in ("to_c", "to_onnx", "to_torch", "to_safetensors")
        },
    },
    "History": {
        "history": "it is itself the mapping, as in history['loss']",
        "epoch": "they are range(len(history['loss']))",
    },
    "Trace": {
        "layers": "as in trace.steps[0].layers, the steps counted from 0",
        **{name: _A_LAYER.format(name) for name in ("x", "W", "b", "z", "a", "delta", "dW", "db")},
        **dict.fromkeys(("plot", "draw", "show"), "save('step.html') or save('step.svg') draws it"),
    },
    "module 'bpkern.callbacks'": {
        "LearningRateScheduler": "give the optimiser a schedule, as in Adam(lr=bpkern.schedules.Cosine(...))",
        "Checkpoint": "it is ModelCheckpoint",
        "LambdaCallback": "derive a class from Callback",
        "TensorBoard": "CSVLogger writes a table of the metrics",
    },
    "module 'bpkern'": {
        **dict.fromkeys(("load", "load_model"), "it is bpkern.MLP.load(path)"),
        **dict.fromkeys(("seed", "set_seed", "manual_seed"), "each model has its own, as in MLP(seed=0)"),
        **dict.fromkeys(("Sequential", "Model", "Dense", "Linear"), "it is bpkern.MLP(layers, loss=...)"),
        **{name: f"it is bpkern.sklearn.{name}" for name in ("MLPClassifier", "MLPRegressor")},
    },
}


def unknown_attribute(whose: str, name: str, owner: object) -> AttributeError:
    """The error for an attribute that an object, or a module, does not have.

    Parameters
    ----------
    whose : str
        A key of `ATTRIBUTES`, or the name of an optimiser.
    name : str
    owner : object
        With which Python proposes a name that the owner has.
    """
    begin = whose if whose.startswith("module") else f"{type(owner).__name__!r} object"
    meant = ATTRIBUTES.get(whose, {}).get(name)
    if meant is None and (there := ARGUMENTS.get(whose, {}).get(name)) is not None:
        meant = there if " " in there else f"did you mean {there!r}?"
    error = f"{begin} has no attribute {name!r}{'' if meant is None else ': ' + meant}"
    return AttributeError(error, name=name, obj=owner)
