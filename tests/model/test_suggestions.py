"""Names that people know from other libraries, or misspell: what the messages of the errors propose."""

import inspect
import re
import warnings

import numpy as np
import pytest

import bpkern
from bpkern import callbacks, reference, schedules
from bpkern._suggestions import ARGUMENTS

X = np.random.default_rng(0).normal(size=(20, 3))
Y = (X[:, 0] > 0).astype(int)

STOPPING = "callbacks=bpkern.callbacks.EarlyStopping(patience=10)"


def model(**settings):
    return bpkern.MLP(**{"layers": [3, 4, 2], "loss": "cross_entropy", "seed": 0} | settings)


@pytest.mark.parametrize("kind", [bpkern.MLP, reference.MLP])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"activation": "ReLU"}, "did you mean 'relu'?"),
        ({"activation": "swish"}, "did you mean 'silu'?"),
        ({"activation": "tanh(1)"}, "unknown activation 'tanh(1)'"),
        ({"loss": "logcosh"}, "did you mean 'log_cosh'?"),
        ({"activation": "leaky-relu"}, "did you mean 'leaky_relu'?"),
        ({"activation": ["logistic"]}, "did you mean 'sigmoid'?"),
        ({"output_activation": "linear"}, "did you mean 'identity'?"),
        ({"output_activation": "softmax"}, "contain their softmax or sigmoid"),
        ({"loss": "categorical_crossentropy"}, "did you mean 'cross_entropy'?"),
        ({"loss": "crossentropy"}, "did you mean 'cross_entropy'?"),
        ({"loss": "BCE"}, "did you mean 'binary_cross_entropy'?"),
        ({"loss": "MSE"}, "did you mean 'mse'?"),
        ({"loss": "BCEWithLogitsLoss"}, "did you mean 'binary_cross_entropy'?"),
        ({"loss": "NLLLoss"}, "did you mean 'cross_entropy'?"),
        ({"loss": "SmoothL1Loss"}, "did you mean 'huber'?"),
        ({"loss": "mean_squared_error"}, "did you mean 'mse'?"),
        ({"init": "xavier_uniform"}, "did you mean 'glorot_uniform'?"),
        ({"init": "Xavier"}, "did you mean 'glorot_uniform'?"),
        ({"init": "he"}, "did you mean 'he_uniform'?"),
        ({"init": ["lecun", "he"]}, "did you mean 'lecun_uniform'?"),
        ({"init": "zeros"}, "units with equal weights stay equal"),
        ({"init": ["he_normall", "he_normal"]}, "did you mean 'he_normal'?"),
        ({"optimizer": "Adam"}, "unknown optimizer 'Adam': allowed are sgd, rmsprop, adagrad, adam, adamw"),
        ({"optimizer": "Adam"}, "did you mean 'adam'?"),
    ],
)
def test_a_name_is_proposed(kind, given, words):
    with pytest.raises(ValueError, match=r"unknown .* allowed are") as error:
        kind(**{"layers": [3, 4, 2], "loss": "cross_entropy"} | given)
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["zigzag", "wasserstein"])
def test_nothing_is_proposed_for_a_name_that_is_like_no_other(name):
    with pytest.raises(ValueError, match=f"unknown loss '{name}': allowed are .*, squared_hinge$"):
        model(loss=name)


@pytest.mark.parametrize("kind", [bpkern.MLP, reference.MLP])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"optimiser": "adam"}, "unknown argument 'optimiser' of MLP: allowed are layers, activation,"),
        ({"optimiser": "adam"}, "did you mean 'optimizer'?"),
        ({"random_state": 0}, "did you mean 'seed'?"),
        ({"learning_rate": 0.1}, "a setting of the optimiser, as in optimizer=bpkern.Adam(lr=0.001)"),
        ({"epochs": 3}, "it is an argument of fit"),
        ({"clip_norm": 1.0}, "it is an argument of fit"),
        ({"early_stopping": True}, STOPPING),
    ],
)
def test_an_argument_of_the_model_is_proposed(kind, given, words):
    with pytest.raises(TypeError) as error:
        kind([3, 2], loss="mse", **given)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epoch": 1}, "unknown argument 'epoch' of MLP.fit: allowed are X, y, epochs,"),
        ({"epoch": 1}, "did you mean 'epochs'?"),
        ({"max_iter": 1}, "did you mean 'epochs'?"),
        ({"validation_fraction": 0.1}, "did you mean 'validation_split'?"),
        ({"early_stopping": True}, STOPPING),
        ({"lr": 0.1}, "set model.optimizer.lr"),
        ({"seed": 0}, "it is an argument of MLP"),
        ({"num_workers": 2}, "did you mean 'n_threads'?"),
    ],
)
def test_an_argument_of_fit_is_proposed(given, words):
    for trained in (model(), reference.MLP([3, 2], loss="cross_entropy")):
        with pytest.raises(TypeError) as error:
            trained.fit(X, Y, **given)
        assert words in str(error.value)
        assert trained.history_ is None


@pytest.mark.parametrize(
    ("make", "given", "words"),
    [
        (callbacks.EarlyStopping, {"restore_best_weights": True}, "that is always done: the fit ends with"),
        (callbacks.EarlyStopping, {"n_iter_no_change": 3}, "did you mean 'patience'?"),
        (callbacks.EarlyStopping, {"patiense": 3}, "unknown argument 'patiense' of EarlyStopping: allowed"),
        (callbacks.EarlyStopping, {"patiense": 3}, "did you mean 'patience'?"),
        (callbacks.ReduceLROnPlateau, {"threshold": 0.1}, "did you mean 'min_delta'?"),
        (callbacks.ModelCheckpoint, {"filepath": "x.npz"}, "did you mean 'path'?"),
        (callbacks.ModelCheckpoint, {"path": "x.npz", "save_freq": 1}, "did you mean 'every'?"),
        (callbacks.CSVLogger, {"path": "x.csv", "sep": ";"}, "did you mean 'separator'?"),
        (bpkern.SGD, {"learning_rate": 0.1}, "unknown argument 'learning_rate' of SGD: allowed are lr, mom"),
        (bpkern.SGD, {"learning_rate": 0.1}, "did you mean 'lr'?"),
        (bpkern.RMSprop, {"rho": 0.9}, "did you mean 'alpha'?"),
        (bpkern.Adagrad, {"epsilon": 0.9}, "did you mean 'eps'?"),
        (bpkern.Adam, {"beta_1": 0.9}, "it is the first of betas=(0.9, 0.999)"),
        (bpkern.Adam, {"max_norm": 1}, "clipping is fit(clip_norm=...)"),
        (bpkern.AdamW, {"weightdecay": 0.9}, "did you mean 'weight_decay'?"),
        (bpkern.NAdam, {"learning_rate": 0.1}, "did you mean 'lr'?"),
        (bpkern.NAdam, {"beta_1": 0.9}, "it is the first of betas=(0.9, 0.999)"),
        (bpkern.activations.LeakyReLU, {"negative_slope": 0.1}, "did you mean 'slope'?"),
        (bpkern.preprocessing.TableEncoder, {"scale": "robust"}, "did you mean 'scaling'?"),
        (schedules.CosLog4, {"iteration": 10}, "unknown argument 'iteration' of CosLog4: allowed are lr, i"),
        (schedules.FlatCos, {"total_steps": 10}, "did you mean 'iterations'?"),
        (schedules.Step, {"gamma": 0.5}, "unknown argument 'gamma' of Step: allowed are lr, every, factor"),
        (schedules.Step, {"step_size": 5}, "did you mean 'every'?"),
        (schedules.Exponential, {"gamma": 0.5}, "did you mean 'factor'?"),
        (schedules.InverseScaling, {"power_t": 0.5}, "did you mean 'power'?"),
        (schedules.Cosine, {"T_max": 10}, "did you mean 'iterations'?"),
        (schedules.Cosine, {"warm_up": 10}, "did you mean 'warmup'?"),
        (schedules.Cosine, {"optimizer": None}, "the optimiser gets the schedule as its lr"),
        (schedules.OneCycle, {"max_lr": 0.1}, "did you mean 'highest'?"),
        (bpkern.losses.Huber, {"deltas": 1}, "did you mean 'delta'?"),
        (bpkern.losses.Quantile, {"quantile": 1}, "unknown argument 'quantile' of Quantile: allowed are q"),
    ],
)
def test_an_argument_of_a_class_is_proposed(make, given, words):
    required = {"path": "x"} if make in (callbacks.ModelCheckpoint, callbacks.CSVLogger) else {}
    with pytest.raises(TypeError) as error:
        make(**required | given)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("make", "name"),
    [(bpkern.SGD, "epsilon"), (bpkern.SGD, "beta_1"), (bpkern.Adagrad, "beta_2"), (bpkern.Adam, "rho")],
)
def test_a_setting_of_another_optimiser_is_not_proposed(make, name):
    with pytest.raises(TypeError, match=f"argument '{name}' of {make.__name__}: allowed are [a-z_, ]+$"):
        make(**{name: 0.5})


# Those of the last two are in sentences alone.
ELSEWHERE = ("fit_many", "each", "MLPClassifier.fit", "MLPRegressor.fit")


def test_the_parameters_of_estimators_exist():
    sklearn = pytest.importorskip("bpkern.sklearn", reason="scikit-learn is not installed")
    for estimator in (sklearn.MLPClassifier, sklearn.MLPRegressor):
        meant = ARGUMENTS[f"{estimator.__name__}.fit"]
        parameters = {name for name, words in meant.items() if words == "it is a parameter of the estimator"}
        assert parameters <= set(estimator().get_params())


@pytest.mark.parametrize("whose", [name for name in ARGUMENTS if name not in ELSEWHERE])
def test_every_proposed_argument_exists(whose):
    places = {
        **{f"MLP.{name}": method for name, method in vars(bpkern.MLP).items()},
        **vars(bpkern.activations),
        **vars(bpkern.preprocessing),
        **vars(callbacks),
        **vars(schedules),
        **vars(bpkern.export),
        **vars(bpkern),
    }
    proposed = {name for name in ARGUMENTS[whose].values() if " " not in name}
    assert proposed <= set(inspect.signature(places[whose]).parameters)


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        ("freeze", {"layer": 0}, "did you mean 'layers'?"),
        ("unfreeze", {"bias": False}, "did you mean 'biases'?"),
        ("set_factors", {"learning_rate": 0.1}, "did you mean 'lr'?"),
        ("set_ntk_factors", {"beta": 0.1}, "did you mean 'bias_scale'?"),
        ("polyak_update", {"polyak": 0.1}, "did you mean 'tau'?"),
        ("initialize", {"bias": "zeros"}, "unknown argument 'bias' of MLP.initialize: allowed are X, w"),
    ],
)
def test_an_argument_of_a_method_is_proposed(method, given, words):
    with pytest.raises(TypeError) as error:
        getattr(model(), method)(**given)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: bpkern.MLP(3, 4, 2, loss="mse"),
            "MLP takes layers by position, and by name activation, outp",
        ),
        (lambda: bpkern.MLP([3, 2], "relu", loss="mse"), "layers is one list, as in MLP([3, 4, 2], loss="),
        (lambda: model().fit(X, Y, 10), "MLP.fit takes X, y by position, and by name epochs, batch_size,"),
        (lambda: model().fit(X, Y, 10), "; as in fit(X, y, epochs=10)"),
        (lambda: model().evaluate(X, Y, X[:, 0]), "as in evaluate(X, y, sample_weight=w)"),
        (lambda: model().set_factors(0, 0.1), "MLP.set_factors takes layers by position, and by name lr, "),
        (lambda: model().set_factors(0, 0.1), "as in set_factors(0, lr=0.1)"),
        (lambda: model().polyak_update(model(), 0.5, 1), "MLP.polyak_update takes other, tau by position"),
        (lambda: model().set_ntk_factors(0.1), "takes nothing by position, and by name bias_scale"),
        (
            lambda: bpkern.export.to_c(model(), "net.c"),
            "it returns the text: pathlib.Path('net.c').write_text",
        ),
        (lambda: bpkern.export.to_c(model(), path="net.c"), "it returns the text: pathlib.Path('net.c')"),
        (lambda: bpkern.export.to_c(model(), quantize=True), "as in to_c(model, weights='int8', data=X)"),
        (lambda: bpkern.export.to_torch(model(), "net.pt"), "it returns the Sequential: torch.save("),
        (
            lambda: model().freeze("0.weight"),
            "layers are counted from 0, with -1 for the output, and have no",
        ),
    ],
)
def test_arguments_by_position_that_a_function_does_not_take(call, words):
    with pytest.raises(TypeError) as error:
        call()
    assert words in str(error.value)


def test_factors_that_are_none():
    with pytest.raises(
        ValueError, match=r"give the factor lr, the factor weight_decay, or both, as in set_f"
    ):
        model().set_factors(0)


def test_an_error_within_a_call_stays_as_it_is():
    def loss(outputs, y):
        raise TypeError("of the user's function")

    with pytest.raises(TypeError, match=r"^of the user's function$"):
        model(loss=loss).fit(X, Y)


def test_metrics_and_monitors_are_proposed():
    with pytest.raises(ValueError, match=r"allowed are .*, or a callable; did you mean 'accuracy'\?"):
        model().fit(X, Y, metrics="acc")
    with pytest.raises(ValueError, match=r"monitor 'val_acc' is not in .*; did you mean 'val_accuracy'\?"):
        model().fit(X, Y, validation_split=0.2, callbacks=callbacks.EarlyStopping("val_acc"))
    with pytest.raises(TypeError, match=r"unknown argument 'epoch' of fit_many.*; did you mean 'epochs'\?"):
        bpkern.fit_many([model()], X, Y, epoch=2)
    with pytest.raises(TypeError, match=r"allowed are models, X, y, .*; did you mean 'n_threads'\?"):
        bpkern.fit_many([model()], X, Y, n_jobs=2)
    with pytest.raises(
        TypeError, match=r"must be a sequence of bpkern.MLP, not MLP\(.*\): for one model, \[m"
    ):
        bpkern.fit_many(model(), X, Y)


@pytest.mark.parametrize("given", ["batch_size", "verbose", "return_dict", "sample_weights"])
def test_an_argument_of_evaluate_is_explained(given):
    with pytest.raises(TypeError, match=f"unknown argument '{given}' of MLP.evaluate: allowed are X, y, .*;"):
        model().evaluate(X, Y, **{given: 1})


def test_parameters_out_of_the_range_are_an_error_of_ours():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"leaky_relu\(1e\+300\) is out of the range of float32"):
            model(activation="leaky_relu(1e300)")


def test_biases_that_are_none():
    trained = model()
    weights = [(w, None) for w, _ in trained.get_weights()]
    with pytest.raises(TypeError, match=r"b of layer 0 must be an array of shape \(\d+,\), not None: the l"):
        trained.set_weights(weights)
    with pytest.raises(TypeError, match=r"init: b of layer 0 must be an array .*: the layer has biases"):
        model(init=weights)


# Optimisers by name ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sgd", bpkern.SGD),
        ("rmsprop", bpkern.RMSprop),
        ("adagrad", bpkern.Adagrad),
        ("adam", bpkern.Adam),
        ("adamw", bpkern.AdamW),
    ],
)
def test_an_optimiser_by_name_has_the_default_settings(name, kind, tmp_path):
    named, made = model(optimizer=name), model(optimizer=kind())
    assert type(named.optimizer) is kind
    assert named.fit(X, Y, epochs=3) == made.fit(X, Y, epochs=3)
    assert type(reference.MLP([3, 2], loss="mse", optimizer=name).optimizer) is kind
    assert model(optimizer=name).optimizer is not named.optimizer  # settings of one model alone
    named.save(tmp_path / "net.npz")
    assert type(bpkern.MLP.load(tmp_path / "net.npz").optimizer) is kind
    assert type(bpkern.MLP.load(tmp_path / "net.npz", optimizer="adagrad").optimizer) is bpkern.Adagrad


def test_an_optimiser_may_be_assigned_by_name():
    trained = model()
    trained.optimizer = "adamw"
    assert repr(trained.optimizer) == repr(bpkern.AdamW())
    with pytest.raises(ValueError, match=r"unknown optimizer 'adm'.*did you mean 'adam'\?"):
        trained.optimizer = "adm"
    assert repr(trained.optimizer) == repr(bpkern.AdamW())
    with pytest.raises(
        TypeError, match=r"not <class 'bpkern.optimizers.Adam'>: give an instance, as in Adam\(\)"
    ):
        model(optimizer=bpkern.Adam)


def test_a_model_is_called_as_its_forward():
    trained = model()
    assert np.array_equal(trained(X), trained.forward(X))


# Initial weights by layer --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_layer_has_its_own_distribution_and_gain(dtype, tmp_path):
    layers, seed = [5, 7, 4, 3], 11
    init = ["he_normal", ("orthogonal", 0.5), ["auto", 2]]
    made = bpkern.MLP(layers, loss="mse", init=init, dtype=dtype, seed=seed)
    generator = np.random.default_rng(seed)
    expected = [
        np.sqrt(2 / 5) * generator.standard_normal((7, 5)),
        0.5
        * bpkern.MLP([7, 4], loss="mse", init="orthogonal", dtype="float64", seed=generator).get_weights()[0][
            0
        ],
        2 * generator.uniform(-np.sqrt(6 / 7), np.sqrt(6 / 7), (3, 4)),
    ]
    biases = [np.zeros(7), np.zeros(4), generator.uniform(-0.5, 0.5, 3)]
    for (w, b), wanted, bias in zip(made.get_weights(), expected, biases, strict=True):
        assert w == pytest.approx(wanted, rel=1e-5, abs=1e-7)
        assert b == pytest.approx(bias, rel=1e-5)
    oracle = reference.MLP(layers, loss="mse", init=init, dtype=dtype, seed=seed)
    made.save(tmp_path / "net.npz")
    loaded = bpkern.MLP.load(tmp_path / "net.npz")
    assert repr(loaded) == repr(made)
    loaded.reset()
    for others in (oracle, loaded, made.copy()):
        for pair, own in zip(others.get_weights(), made.get_weights(), strict=True):
            assert all(map(np.array_equal, pair, own))


def test_one_gain_is_that_of_all_layers():
    plain, doubled = model(init="lecun_normal"), model(init=("lecun_normal", 2))
    for (w, _), (twice, _) in zip(plain.get_weights(), doubled.get_weights(), strict=True):
        assert np.array_equal(2 * w, twice)


@pytest.mark.parametrize(
    ("init", "error", "words"),
    [
        (["he_normal"], ValueError, "init must have one name per layer, the output included, 2, not 1"),
        (("he_normal", 0), ValueError, "the gain of init must be finite and above 0, not 0"),
        (("he_normal", -1), ValueError, "the gain of init must be finite and above 0, not -1"),
        (
            ("he_normal", 1e300),
            ValueError,
            "with the gain 1e+300 must draw weights that are finite in float32",
        ),
        (["he_normal", ("he_normal", None)], TypeError, "the gain of init must be a number, not None"),
    ],
)
def test_bad_gains_and_lists(init, error, words):
    with pytest.raises(error) as raised:
        model(init=init)
    assert words in str(raised.value)


# Weights of Keras ------------------------------------------------------------------------------------------


def test_flat_lists_have_kernels_of_shape_in_out():
    """The forward pass of Keras's Dense layers, ``x @ kernel + bias``, is the oracle."""
    rng = np.random.default_rng(3)
    flat = [rng.normal(size=shape) for shape in ((3, 3), (3,), (3, 2), (2,))]
    square = bpkern.MLP([3, 3, 2], loss="mse", dtype="float64")
    square.set_weights(flat)
    expected = np.maximum(X @ flat[0] + flat[1], 0) @ flat[2] + flat[3]
    assert square.forward(X) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (
            ((4, 3), (4,), (2, 4), (2,)),
            "kernel 0 of a flat list of weights, which is Keras's form, must have the",
        ),
        (((4, 3), (4,), (2, 4), (2,)), "shape (in, out), (3, 4), not (4, 3)"),
        (((3, 4), (4,)), "2 pairs (W, b), or as many kernels and biases in a flat list, not 2 arrays"),
        (((3, 4), (5,), (4, 2), (2,)), "b of layer 0 must have shape (4,), not (5,)"),
    ],
)
def test_other_flat_lists_are_refused(shapes, words):
    trained = model()
    before = trained.get_weights()
    with pytest.raises(ValueError, match=re.escape(words)):
        trained.set_weights([np.ones(shape) for shape in shapes])
    assert all(np.array_equal(w, v) for (w, _), (v, _) in zip(before, trained.get_weights(), strict=True))


# Data ------------------------------------------------------------------------------------------------------


def test_strings_are_found():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"age": [1.0, 2.0], "height": [2.0, 2.0], "sex": [1.0, "male"]})
    with pytest.raises(TypeError, match="X must hold numbers: column 'sex', row 1, holds the string 'male'"):
        model().fit(table, [0, 1])
    with pytest.raises(TypeError, match="X must hold numbers: column 2, row 1, holds the string 'male'"):
        model().fit(table.to_numpy().tolist(), [0, 1])
    with pytest.raises(TypeError, match="X must hold numbers: column 0, row 0, holds the string '1'"):
        model().fit(np.ones((2, 3), int).astype(str), [0, 1])
    with pytest.raises(
        TypeError, match="y must hold numbers: row 0 holds the string 'yes'; classes are 0, 1"
    ):
        model().fit(X[:2], np.array(["yes", "no"])[[0, 1]])


def test_labels_out_of_range():
    with pytest.raises(
        ValueError, match=r"labels must be from 0 to 0, .*loss='binary_cross_entropy'; for cross"
    ):
        model(layers=[3, 1]).fit(X, Y)
    with pytest.raises(ValueError, match="not from 1 to 2: classes are counted from 0, y - 1"):
        model().fit(X, Y + 1)
    with pytest.raises(ValueError, match=r"from -1 to 1: .* numpy.unique\(y, return_inverse=True\)\[1\]"):
        model().fit(X, 2 * Y - 1)
    with pytest.raises(ValueError, match=r"not from 0 to 2$"):  # three classes are too many for two outputs
        model().fit(X, np.arange(len(X)) % 3)


def test_labels_without_a_loss_for_classes():
    with pytest.raises(
        ValueError, match=r"y must have shape \(20, 2\), not \(20,\): for labels, loss='cross"
    ):
        model(loss="mse").fit(X, Y)
    with pytest.raises(ValueError, match=r"y must have shape \(20, 2\), not \(20,\)$"):
        model(loss="mse").fit(X, X[:, 0])


def test_weights_that_are_refused_are_named():
    weights = np.ones(len(X))
    weights[7] = -0.5
    with pytest.raises(ValueError, match=r"sample_weight must be finite and at least 0: row 7 has -0\.5"):
        model().fit(X, Y, sample_weight=weights)


def test_objects_are_named_by_their_kind():
    with pytest.raises(TypeError, match=r"^other must be a bpkern.MLP, not list$"):
        model().polyak_update(model().get_weights(), 0.1)


# Checkpoints and callbacks ---------------------------------------------------------------------------------


def test_the_file_of_a_resumed_fit_is_the_argument_checkpoint(tmp_path):
    with pytest.raises(TypeError, match=r"not 'fit.npz': the file is the argument checkpoint$"):
        model().fit(X, Y, resume="fit.npz")


def test_callbacks_that_are_none():
    class Hooks:
        def on_epoch_end(self, logs):
            """Not of the package's kind."""

    with pytest.raises(TypeError, match=r": derive its class from bpkern.callbacks.Callback$"):
        model().fit(X, Y, callbacks=[Hooks()])
    with pytest.raises(TypeError, match=r": make it the method on_epoch_end\(self, model, epoch, logs\) of"):
        model().fit(X, Y, callbacks=[print])
