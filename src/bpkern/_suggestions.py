"""What an unknown name probably means: the nearest known name, or the name here of another library's.

Only messages of errors need this module, which is imported for them.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

# Names of other libraries, in lower case with underscores, by the kind of name. A value of one word is asked
# about ("did you mean") where it is allowed; a sentence is said as it is.
SIGMOID_IS_IN = (
    "the losses cross_entropy and binary_cross_entropy contain their softmax or sigmoid: leave the \
output_activation 'identity'; predict_proba returns the probabilities"
)
ELSEWHERE: dict[str, dict[str, str]] = {
    "activation": {
        "linear": "identity",
        "none": "identity",
        "logistic": "sigmoid",
        "swish": "silu",
        "softmax": SIGMOID_IS_IN,
        "log_softmax": SIGMOID_IS_IN,
    },
    "loss": {
        "categorical_crossentropy": "cross_entropy",
        "sparse_categorical_crossentropy": "cross_entropy",
        "nll": "cross_entropy",
        "log_loss": "cross_entropy",
        "softmax": "cross_entropy",
        "nllloss": "cross_entropy",
        "crossentropyloss": "cross_entropy",
        "bceloss": "binary_cross_entropy",
        "bcewithlogitsloss": "binary_cross_entropy",
        "mseloss": "mse",
        "l1loss": "mae",
        "smoothl1loss": "huber",
        "binary_crossentropy": "binary_cross_entropy",
        "bce": "binary_cross_entropy",
        "bce_with_logits": "binary_cross_entropy",
        "mean_squared_error": "mse",
        "l2": "mse",
        "mean_absolute_error": "mae",
        "l1": "mae",
        "smooth_l1": "huber",
        "pinball": "quantile",
        "logcosh": "log_cosh",
        "hinge_loss": "hinge",
    },
    "metric": {
        "acc": "accuracy",
        "mean_squared_error": "mse",
        "mean_absolute_error": "mae",
        "root_mean_squared_error": "rmse",
        "f1_score": "f1",
        "r2_score": "r2",
    },
    "init": {
        "kaiming_uniform": "he_uniform",
        "kaiming_normal": "he_normal",
        "xavier_uniform": "glorot_uniform",
        "xavier_normal": "glorot_normal",
        "kaiming": "he_uniform",
        "he": "he_uniform",
        "xavier": "glorot_uniform",
        "glorot": "glorot_uniform",
        "lecun": "lecun_uniform",
        "zeros": "units with equal weights stay equal, so weights are drawn; biases begin at 0",
    },
    "optimizer": {"momentum": "sgd", "nesterov": "sgd"},
    "solver": {
        name: f"give optimizer=bpkern.{kind}(), which replaces the solver"
        for name, kind in (
            ("adamw", "AdamW"),
            ("nadam", "NAdam"),
            ("rmsprop", "RMSprop"),
            ("adagrad", "Adagrad"),
        )
    },
    "hook": {
        "on_train_begin": "on_fit_begin",
        "on_train_end": "on_fit_end",
        "on_train_batch_begin": "on_batch_begin",
        "on_train_batch_end": "on_batch_end",
    },
}

_OPTIMIZER = "it is a setting of the optimiser, as in optimizer=bpkern.Adam(lr=0.001)"
_FIT = "it is an argument of fit"
_MODEL = "it is an argument of MLP"
_STOPPING = "it is a callback, as in callbacks=bpkern.callbacks.EarlyStopping(patience=10)"
_RATES = {
    "learning_rate": "lr",
    "learning_rate_init": "lr",
    "eta": "lr",
    "l2": "weight_decay",
    "decay": "weight_decay is L2; for a falling rate give a schedule of bpkern.schedules as lr",
    "params": "an optimiser holds settings only: MLP(optimizer=...) brings it to its parameters",
    "clipnorm": "clipping is fit(clip_norm=...)",
    "clipvalue": "clipping is fit(clip_value=...)",
    "max_norm": "clipping is fit(clip_norm=...)",
    "clip_norm": "clipping is fit(clip_norm=...)",
}
_SCHEDULE = {
    "optimizer": "the optimiser gets the schedule as its lr, as in bpkern.Adam(lr=...)",
    "learning_rate": "lr",
    "initial_learning_rate": "lr",
    "last_epoch": "the iterations are counted by the model",
}
_LENGTH = dict.fromkeys(("total_steps", "decay_steps", "steps", "t_max"), "iterations")
_EPS = {"epsilon": "eps"}
_BETAS = {
    "beta1": "it is the first of betas=(0.9, 0.999)",
    "beta_1": "it is the first of betas=(0.9, 0.999)",
    "beta2": "it is the second of betas=(0.9, 0.999)",
    "beta_2": "it is the second of betas=(0.9, 0.999)",
}

# Arguments of other libraries, by the function of this package that was called.
ARGUMENTS: dict[str, dict[str, str]] = {
    "MLP": {
        "hidden_layer_sizes": "layers has all sizes, the input's first and the output's last",
        "sizes": "layers",
        "solver": "optimizer",
        "criterion": "loss",
        "random_state": "seed",
        "kernel_initializer": "init",
        "dropout_rate": "dropout",
        "use_bias": "bias",
        "alpha": "l2",
        "lr": _OPTIMIZER,
        "learning_rate": _OPTIMIZER,
        "learning_rate_init": _OPTIMIZER,
        "momentum": _OPTIMIZER,
        "weight_decay": _OPTIMIZER,
        "epochs": _FIT,
        "max_iter": "it is the argument epochs of fit",
        "batch_size": _FIT,
        "metrics": _FIT,
        "callbacks": _FIT,
        "verbose": _FIT,
        "validation_split": _FIT,
        "validation_fraction": "it is the argument validation_split of fit",
        "n_threads": _FIT,
        "clip_norm": _FIT,
        "clip_value": _FIT,
        "early_stopping": "give fit a callback, as in callbacks=bpkern.callbacks.EarlyStopping(patience=10)",
    },
    "MLP.fit": {
        "n_epochs": "epochs",
        "num_epochs": "epochs",
        "max_iter": "epochs",
        "validation_fraction": "validation_split",
        "eval_set": "validation_data",
        "n_jobs": "n_threads",
        "workers": "n_threads",
        "num_workers": "n_threads",
        "grad_clip": "clip_norm",
        "clipnorm": "clip_norm",
        "max_grad_norm": "clip_norm",
        "early_stopping": _STOPPING,
        "patience": _STOPPING,
        "lr": "set model.optimizer.lr, between two fits or in a callback",
        "learning_rate": "set model.optimizer.lr, between two fits or in a callback",
        "optimizer": _MODEL,
        "loss": _MODEL,
        "seed": _MODEL,
        "random_state": "it is the argument seed of MLP",
        "initial_epoch": "a second fit continues where the first ended; resume=True continues a checkpoint",
        "steps_per_epoch": "an epoch goes once through X and y, or through the iterable of batches",
    },
    "MLP.evaluate": {
        "batch_size": "rows are computed in parts that fit the cache: there is none to choose",
        "verbose": "evaluate prints nothing",
        "return_dict": "evaluate always returns a dict",
    },
    "EarlyStopping": {
        "restore_best_weights": "that is always done: the fit ends with the weights of the best epoch",
        "n_iter_no_change": "patience",
        "tol": "min_delta",
        "verbose": "fit(verbose=1) says why it stopped, and History.stop_reason",
    },
    "ReduceLROnPlateau": {"threshold": "min_delta", "epsilon": "min_delta", "eps": "min_delta"},
    "ModelCheckpoint": {
        "filepath": "path",
        "filename": "path",
        "period": "every",
        "save_freq": "every",
        "save_weights_only": "the whole model is saved; MLP.load reads it",
    },
    "CSVLogger": {"filename": "path", "sep": "separator", "delimiter": "separator"},
    "SGD": _RATES,
    "RMSprop": _RATES | _EPS | {"rho": "alpha"},
    "Adagrad": _RATES | _EPS,
    "Adam": _RATES | _EPS | _BETAS,
    "AdamW": _RATES | _EPS | _BETAS,
    "NAdam": _RATES | _EPS | _BETAS | {"schedule_decay": "momentum_decay"},
    "LeakyReLU": {"negative_slope": "slope", "alpha": "slope"},
    "TableEncoder": {
        "scale": "scaling",
        "scaler": "scaling",
        "cat_features": "categorical",
        "categorical_features": "categorical",
        "one_hot_max_size": "max_one_hot",
    },
}
_GROUPS = {"layer": "layers", "bias": "biases", "weight": "weights", "kernel": "weights"}
ARGUMENTS |= {
    "MLP.freeze": _GROUPS,
    "MLP.unfreeze": _GROUPS,
    "MLP.set_factors": _GROUPS | {"learning_rate": "lr", "decay": "weight_decay"},
    "MLP.set_ntk_factors": {"beta": "bias_scale"},
    "MLP.polyak_update": {"polyak": "tau", "model": "other"},
    "CosLog4": _SCHEDULE | _LENGTH,
    "FlatCos": _SCHEDULE | _LENGTH,
    "Step": _SCHEDULE | {"step_size": "every", "gamma": "factor", "decay_rate": "factor"},
    "Exponential": _SCHEDULE | {"gamma": "factor", "decay_rate": "factor", "decay_steps": "every"},
    "InverseScaling": _SCHEDULE | {"power_t": "power"},
    "Cosine": _SCHEDULE
    | {"t_max": "iterations", "decay_steps": "iterations", "eta_min": "lowest", "warmup_steps": "warmup"},
    "OneCycle": _SCHEDULE
    | {"lr": "highest", "learning_rate": "highest", "max_lr": "highest"}
    | {"initial_learning_rate": "highest", "total_steps": "iterations"},
}
_WRITES_NOTHING = "it returns the text: pathlib.Path('net.c').write_text(bpkern.export.to_c(model))"
_INT8 = "as in to_c(model, weights='int8', data=X)"
ARGUMENTS["to_c"] = dict.fromkeys(("path", "file", "filename", "output"), _WRITES_NOTHING)
ARGUMENTS["to_c"] |= dict.fromkeys(("int8", "quantize", "quantization", "dtype"), _INT8)
ARGUMENTS["to_c"] |= {"prefix": "name", "calibration": "data", "X": "data", "x": "data"}
_IN_TORCH = "it returns the Sequential: torch.save(bpkern.export.to_torch(model), 'net.pt')"
ARGUMENTS["to_torch"] = dict.fromkeys(("path", "file", "filename", "output"), _IN_TORCH)
ARGUMENTS["fit_many"] = ARGUMENTS["each"] = ARGUMENTS["MLP.fit"]


# What was meant by more arguments by position than a function takes.
BY_POSITION = {
    "MLP": "layers is one list, as in MLP([3, 4, 2], loss='mse')",
    "MLP.fit": "as in fit(X, y, epochs=10)",
    "MLP.evaluate": "as in evaluate(X, y, sample_weight=w)",
    "MLP.set_factors": "as in set_factors(0, lr=0.1)",
    "to_c": _WRITES_NOTHING,
    "to_torch": _IN_TORCH,
}


_ROWS_ASIDE = "the rows set aside are X_val and y_val"
_OF_THE_ESTIMATOR = "it is a parameter of the estimator"
for _estimator in ("MLPClassifier", "MLPRegressor"):
    ARGUMENTS[f"{_estimator}.fit"] = {
        **dict.fromkeys(("eval_set", "validation_data"), _ROWS_ASIDE),
        **dict.fromkeys(("epochs", "n_epochs"), "max_iter of the estimator is the number of epochs"),
        **dict.fromkeys(("batch_size", "callbacks", "verbose"), _OF_THE_ESTIMATOR),
    }
ARGUMENTS["MLPClassifier.fit"]["class_weight"] = _OF_THE_ESTIMATOR


def suggestion(kind: str, given: str, allowed: Iterable[str]) -> str:
    """The end of a message about an unknown name of this kind, such as "; did you mean 'relu'?", or empty."""
    return _ending(ELSEWHERE.get(kind.removeprefix("output_"), {}), given, list(allowed))


def unknown_argument(whose: str, given: Iterable[str], allowed: Iterable[str]) -> TypeError:
    """The error for the first of the names `given`, which are no arguments of `whose`."""
    names, name = list(allowed), next(iter(given))
    ending = _ending(ARGUMENTS.get(whose, {}), name, names)
    return TypeError(f"unknown argument {name!r} of {whose}: allowed are {', '.join(names)}{ending}")


def too_many_arguments(whose: str, by_position: list[str], by_name: list[str]) -> TypeError:
    """The error for more arguments by position than `whose` takes."""
    taken = ", ".join(by_position) or "nothing"
    others = f", and by name {', '.join(by_name)}" if by_name else ""
    hint = f"; {BY_POSITION[whose]}" if whose in BY_POSITION else ""
    return TypeError(f"{whose} takes {taken} by position{others}{hint}")


def _ending(elsewhere: Mapping[str, str], given: str, allowed: list[str]) -> str:
    plain = given.lower().replace("-", "_").replace(" ", "_")
    found = elsewhere.get(plain)
    if found is not None and " " in found:
        return f"; {found}"
    if found not in allowed:
        by_plain = {name.lower(): name for name in allowed}
        found = next((by_plain[name] for name in get_close_matches(plain, by_plain, 1, 0.7)), None)
    return "" if found is None else f"; did you mean {found!r}?"
