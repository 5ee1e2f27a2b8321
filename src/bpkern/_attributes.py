"""What an attribute that does not exist is called here: the names of other libraries' results and modules.

Only messages of errors need this module, which is imported for them. Models and optimisers have no
such messages: a class with ``__getattr__`` is slower in every access to an attribute.
"""

_A_LAYER = "as in trace.steps[0].layers[1].{}, the steps and layers counted from 0"
# Attributes of other libraries, by the class or module here.
ATTRIBUTES: dict[str, dict[str, str]] = {
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
        A key of `ATTRIBUTES`.
    name : str
    owner : object
        With which Python proposes a name that the owner has.
    """
    begin = whose if whose.startswith("module") else f"{type(owner).__name__!r} object"
    meant = ATTRIBUTES[whose].get(name)
    error = f"{begin} has no attribute {name!r}{'' if meant is None else ': ' + meant}"
    return AttributeError(error, name=name, obj=owner)
