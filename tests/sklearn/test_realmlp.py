"""`RealMLPClassifier` and `RealMLPRegressor`: any table in, labels or values out, by scikit-learn's rules.

What a network does by the recipe is in tests/table/test_recipes.py.
"""

import inspect
import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn 1.6 has tags and lists of checks")

from sklearn import base
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

import bpkern
from bpkern.preprocessing import TableModel
from bpkern.sklearn import RealMLPClassifier, RealMLPRegressor

BOTH = pytest.mark.parametrize("estimator", [RealMLPClassifier, RealMLPRegressor])
SMALL = dict(hidden_layer_sizes=(8, 8), n_epochs=6, batch_size=16, random_state=0, n_threads=1)

# Checks that a network that holds out rows at random cannot pass, and why.
NOT_FOR_US = {
    "check_sample_weight_equivalence_on_dense_data": "a row of weight 2 and two equal rows are held out and "
    "gathered into mini-batches otherwise, as with all networks that train by mini-batches"
}


def table(rows=80, seed=0):
    """Numbers with gaps, texts, booleans and codes of places; labels and values that follow from them."""
    rng = np.random.default_rng(seed)
    columns = {
        "size": rng.normal(50, 20, rows),
        "place": rng.choice(["river", "hill", "sea"], rows).astype(object),
        "new": rng.random(rows) < 0.5,
        "code": rng.integers(100, 104, rows),
    }
    value = columns["size"] + 30 * (columns["place"] == "river") + 20 * columns["new"]
    columns["size"][::7] = np.nan
    return columns, value


def labels_or_values(estimator, value):
    return np.where(value > 70, "dear", "cheap") if estimator is RealMLPClassifier else value


def fitted(estimator, rows=80, **parameters):
    X, value = table(rows)
    y = labels_or_values(estimator, value)
    return estimator(**SMALL | parameters).fit(X, y), X, y


def answers(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


# scikit-learn's rules ------------------------------------------------------------------------------------


@BOTH
def test_scikit_learns_checks(estimator):
    small = estimator(hidden_layer_sizes=(16,), n_epochs=30, batch_size=32, random_state=0, n_threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(small, expected_failed_checks=NOT_FOR_US, on_skip=None)
    assert len(found) > 40
    assert {each["check_name"] for each in found if each["status"] == "xfail"} == set(NOT_FOR_US)


@BOTH
def test_parameters_are_kept_as_given(estimator):
    model = estimator(n_models=3, categorical=["code"])
    assert base.clone(model).get_params() == model.get_params()
    names = set(inspect.signature(estimator).parameters)
    assert set(model.get_params()) == names == set(estimator._parameter_constraints)
    assert model.set_params(recipe="td-s", time_limit=3).time_limit == 3


@BOTH
def test_the_same_random_state_gives_the_same_bits(estimator):
    first, X, y = fitted(estimator)
    assert (answers(first, X) == answers(fitted(estimator)[0], X)).all()
    assert not (answers(first, X) == answers(fitted(estimator, random_state=1)[0], X)).all()
    again = estimator(**SMALL | {"random_state": np.random.RandomState(0)}).fit(X, y)
    assert (answers(first, X) == answers(again, X)).all()


@BOTH
def test_pickles_predict_the_same(estimator):
    model, X, _ = fitted(estimator, n_models=2)
    again = pickle.loads(pickle.dumps(model))
    assert (answers(model, X) == answers(again, X)).all()
    assert again.get_params() == model.get_params()


@BOTH
def test_before_fit(estimator):
    with pytest.raises(NotFittedError):
        estimator().predict([[1.0]])
    with pytest.raises(NotFittedError):
        estimator().to_table_model()
    assert not hasattr(estimator(), "model_")


@BOTH
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"recipe": "td-x"}, "'recipe' parameter"),
        ({"n_models": 0}, "'n_models' parameter"),
        ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes must be whole numbers"),
        ({"categorical": ["street"]}, "'street', which is no column"),
        ({"verbose": 7}, "unknown verbose 7"),
        ({"n_models": 200}, "minimum of 200"),
    ],
)
def test_what_is_not_allowed(estimator, parameters, message):
    with pytest.raises(ValueError, match=message):
        fitted(estimator, **parameters)


# Tables and targets --------------------------------------------------------------------------------------


@BOTH
def test_tables_of_all_libraries_are_one(estimator):
    model, X, y = fitted(estimator)
    expected = answers(model, X)
    assert list(model.feature_names_in_) == list(X)
    assert model.n_features_in_ == 4
    for library in ("pandas", "polars"):
        frame = pytest.importorskip(library, reason="reads the table").DataFrame(X)
        assert (answers(model, frame) == expected).all()
        assert (answers(estimator(**SMALL).fit(frame, y), frame) == expected).all()
    objects = np.array(list(X.values()), dtype=object).T
    plain = estimator(**SMALL).fit(objects, y)
    assert (answers(plain, objects) == expected).all()
    assert not hasattr(plain, "feature_names_in_")


@BOTH
def test_whole_numbers_become_categories_on_request(estimator):
    assert fitted(estimator, categorical=["code"])[0].encoder_.categories_[3] == [100, 101, 102, 103]
    assert 3 not in fitted(estimator)[0].encoder_.categories_


def test_codes_of_categories_are_no_large_numbers():
    """Its user cannot scale them; a table of this size is looked at."""
    X = {"place": np.arange(600) % 300, "size": np.arange(600) % 7}
    model = RealMLPRegressor(**SMALL | {"n_epochs": 11}, recipe="td", categorical=["place"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, np.arange(600) % 5.0)


@BOTH
def test_columns_without_names_are_told_once(estimator):
    model, X, _ = fitted(estimator)
    unnamed = np.array(list(X.values()), object).T
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert (model.predict(unnamed) == model.predict(X)).all()
    [told] = [str(each.message) for each in caught]
    assert (
        told == f"X does not have valid feature names, but {estimator.__name__} was fitted with feature names"
    )


@BOTH
def test_an_infinite_number_is_named_by_its_row(estimator):
    X, value = table()
    for row in (3, 77):
        wrong = {**X, "size": np.where(np.arange(80) == row, np.inf, X["size"])}
        with pytest.raises(ValueError, match=f"column 'size', row {row} holds infinity"):
            estimator(**SMALL).fit(wrong, labels_or_values(estimator, value))


@pytest.mark.parametrize(
    "labels",
    [["no", "yes"], [False, True], [3, 7], [1.0, 2.0]],
    ids=["texts", "booleans", "whole numbers", "numbers"],
)
def test_labels_of_any_kind(labels):
    X, value = table()
    y = np.array(labels)[(value > 70).astype(int)]
    model = RealMLPClassifier(**SMALL | {"n_epochs": 60}).fit(X, y)
    assert model.classes_.tolist() == sorted(set(y.tolist()))
    assert model.classes_.dtype == y.dtype
    assert {*model.predict(X).tolist()} <= {*y.tolist()}
    assert model.score(X, y) > 0.9


def test_labels_of_pandas():
    pandas = pytest.importorskip("pandas", reason="has the labels")
    X, value = table()
    y = np.where(value > 70, "dear", "cheap")
    expected = RealMLPClassifier(**SMALL).fit(X, y).predict_proba(X)
    for labels in (pandas.Series(y), pandas.Series(y).astype("category")):
        assert (RealMLPClassifier(**SMALL).fit(X, labels).predict_proba(X) == expected).all()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 80, "greater than one; got 1 class"),
        (np.linspace(0.1, 1, 80), "Unknown label type"),
        (["a", "b"] * 39 + [None, "b"], "Input y contains NaN or None, in row 78: leave out rows without"),
        ([np.nan] + ["a", "b"] * 39 + ["a"], "Input y contains NaN or None, in row 0"),
        (np.array(["a", np.nan] * 40, object), "Input y contains NaN or None, in row 1"),
        (np.array([0.0, np.nan] * 40), "Input y contains NaN or None, in row 1"),
        ([1, "a"] * 40, "y must hold texts, numbers or booleans alone, not int and str"),
        ([True, 2] * 40, "y must hold texts, numbers or booleans alone, not bool and int"),
    ],
)
def test_targets_that_are_no_classes(y, message):
    with pytest.raises((ValueError, TypeError), match=message):
        RealMLPClassifier(**SMALL).fit(table()[0], y)


def test_gaps_among_labels_of_pandas():
    pandas = pytest.importorskip("pandas", reason="has the labels")
    X, _ = table()
    for gap, kind in ((None, object), (pandas.NA, "string"), (np.nan, "category"), (pandas.NA, "Int64")):
        some = [1, 2] if kind == "Int64" else ["a", "b"]
        y = pandas.Series([*some, gap, *some * 39][:80], dtype=kind)
        for given in (dict(y=y), dict(y=some * 40, X_val=X, y_val=y)):
            name = "y_val" if "y_val" in given else "y"
            with pytest.raises(ValueError, match=f"Input {name} contains NaN or None, in row 2:"):
                RealMLPClassifier(**SMALL).fit(X, **given)


def test_labels_in_a_list_of_objects_are_those_of_an_array():
    X, value = table()
    y = np.where(value > 70, "dear", "cheap")
    assert RealMLPClassifier(**SMALL).fit(X, y.tolist()).classes_.dtype == y.dtype
    numbers = (value > 70).astype(int)
    assert RealMLPClassifier(**SMALL).fit(X, numbers.astype(object)).classes_.tolist() == [0, 1]


def test_values_that_are_labels():
    with pytest.raises(ValueError, match=r"y must hold numbers: .*Use RealMLPClassifier for labels"):
        RealMLPRegressor(**SMALL).fit(table()[0], ["cheap", "dear"] * 40)


def test_limits_are_exact():
    X, value = table()
    counts = np.maximum(0, np.rint(value / 10 - 5))
    model = RealMLPRegressor(**SMALL, n_models=2).fit(X, np.stack([counts, value], axis=1))
    for limits in model.limits_:
        assert limits[0, 0] == 0
        assert limits[1, 0] == counts.max()
        assert set(limits[:, 1]) <= set(value)


def test_a_column_of_pandas_is_no_table():
    pandas = pytest.importorskip("pandas", reason="has the column")
    with pytest.raises(ValueError, match="Expected 2D array"):
        RealMLPRegressor(**SMALL).fit(pandas.Series(np.arange(80.0)), np.arange(80.0))


def test_several_values_are_learned_together():
    X, value = table()
    y = np.stack([value, -1000 * value], axis=1)
    model = RealMLPRegressor(**SMALL | {"n_epochs": 60}).fit(X, y)
    assert model.predict(X).shape == (80, 2)
    assert model.score(X, y) > 0.8
    with pytest.raises(ValueError, match="one value, and this estimator 2"):
        model.to_table_model()


def test_columns_of_more_than_8_categories_are_embedded_by_td():
    X, value = table()
    X |= {"street": np.random.default_rng(3).integers(0, 12, 80).astype(str)}
    model = RealMLPRegressor(**SMALL).fit(X, value)
    state = model.model_.state_dict()
    assert [*model.encoder_.codes_.values()] == [13]
    assert state["inputs.1.weight"].shape == (13, 8)
    assert state["inputs.0.weight_1"].shape == (2, 16)  # of the sizes and the codes
    assert np.isfinite(model.predict(X | {"street": np.array(["99"] * 80)})).all()
    assert RealMLPRegressor("td-s", **SMALL).fit(X, value).encoder_.codes_ == {}


# Training ------------------------------------------------------------------------------------------------


def test_values_of_td_stay_in_the_range_of_training():
    X, value = table()
    kept = (value > 50) & (value < 90)
    other = np.flatnonzero(~kept)
    inner = {name: each[kept] for name, each in X.items()}
    validation = {name: each[other] for name, each in X.items()}
    settings = SMALL | {"n_epochs": 60}
    model = RealMLPRegressor(**settings).fit(inner, value[kept], X_val=validation, y_val=value[other])
    [limits] = model.limits_
    assert limits[:, 0].tolist() == [value[kept].min(), value[kept].max()]
    predicted = model.predict(X)
    assert predicted.min() >= limits[0, 0]
    assert predicted.max() <= limits[1, 0]
    # The error that chose the epoch is that of these predictions.
    error = np.square((predicted[other] - value[other]) / model.spread_[0]).mean()
    assert np.isclose(model.validation_scores_[0], 1 - error, rtol=1e-4)
    # So is what the history shows.
    history = model.model_.history_
    assert len(history["val_loss"]) == len(history["loss"]) == 60
    assert history["val_loss"][history.best_epoch] == min(history["val_loss"])
    assert np.isclose(min(history["val_loss"]), error, rtol=1e-4)
    free = RealMLPRegressor("td-s", **settings).fit(inner, value[kept])
    assert free.limits_ == [None]
    assert free.predict(X).max() > value[kept].max()


def test_the_last_of_the_most_accurate_epochs_is_kept():
    X, value = table()
    y, X_val = np.where(value > 70, "dear", "cheap"), table(40, seed=1)
    y_val = np.where(X_val[1] > 70, "dear", "cheap")
    model = RealMLPClassifier(**SMALL | {"n_epochs": 20}).fit(X, y, X_val=X_val[0], y_val=y_val)
    accuracies = np.array(model.model_.history_["val_accuracy"])
    assert model.model_.history_.best_epoch == 19 - accuracies[::-1].argmax()
    assert model.validation_scores_.tolist() == [accuracies.max()] == [model.score(X_val[0], y_val)]


def test_own_validation_rows_choose_and_all_of_X_trains():
    X, value = table()
    other, value_val = table(30, seed=1)
    model = RealMLPRegressor("td-s", **SMALL).fit(X, value, X_val=other, y_val=value_val)
    assert np.isclose(model.center_[0], value.mean())
    assert np.isclose(model.spread_[0], value.std())
    error = np.square((model.predict(other) - value_val) / model.spread_[0]).mean()
    assert np.isclose(model.validation_scores_[0], 1 - error, atol=1e-5)
    for wrong, message in (
        (dict(X_val=other), "go together"),
        (dict(X_val={"size": other["size"]}, y_val=value_val), "feature names should match"),
        (dict(X_val=other, y_val=value_val[1:]), "X_val and y_val have inconsistent numbers of samples"),
        (dict(X_val=value_val, y_val=value_val), "Expected 2D array, X_val has 1 dim"),
        (dict(X_val={**other, "size": np.full(30, np.inf)}, y_val=value_val), "X_val: column 'size', row 0"),
        (dict(X_val=np.zeros((30, 3)), y_val=value_val), "X_val has 3 features"),
    ):
        with pytest.raises(ValueError, match=message):
            RealMLPRegressor(**SMALL).fit(X, value, **wrong)


@BOTH
def test_rows_of_weight_zero_are_as_if_they_were_not_there(estimator):
    X, value = table()
    y, other = labels_or_values(estimator, value), table(30, seed=1)
    validation = dict(X_val=other[0], y_val=labels_or_values(estimator, other[1]))
    kept = np.arange(80) % 3 > 0
    weighted = estimator(**SMALL).fit(X, y, kept.astype(float), **validation)
    less = estimator(**SMALL).fit({name: each[kept] for name, each in X.items()}, y[kept], **validation)
    np.testing.assert_allclose(answers(weighted, X), answers(less, X), rtol=1e-4)


@BOTH
def test_only_ratios_of_weights_matter(estimator):
    X, value = table()
    y, weights = labels_or_values(estimator, value), np.random.default_rng(2).integers(1, 5, 80).astype(float)
    one, other = (answers(estimator(**SMALL).fit(X, y, each), X) for each in (weights, weights * 2.0**1021))
    assert (one == other).all()
    with pytest.raises(ValueError, match="sample_weight must be numbers, one per row, not 'balanced'"):
        estimator(**SMALL).fit(X, y, "balanced")


def test_weights_move_the_probabilities():
    X, value = table()
    y = value > 70
    likely = [
        RealMLPClassifier(**SMALL).fit(X, y, np.where(y, weight, 1.0)).predict_proba(X)[:, 1].mean()
        for weight in (0.05, 1.0, 20.0)
    ]
    assert likely == sorted(likely)


def test_probabilities_are_those_of_the_network_and_calibrated():
    X, value = table()
    y = (value + np.random.default_rng(5).normal(0, 25, 80)) > 70
    other, value_val = table(60, seed=1)
    y_val = (value_val + np.random.default_rng(6).normal(0, 25, 60)) > 70
    settings = SMALL | {"n_epochs": 60, "metric": "log_loss", "recipe": "td-s"}
    losses = []
    for calibrate in (False, True):
        model = RealMLPClassifier(**settings, calibrate=calibrate).fit(X, y, X_val=other, y_val=y_val)
        p = model.predict_proba(other)
        assert (p == model.model_.predict_proba(model.encoder_.transform(other))).all()
        np.testing.assert_allclose(np.exp(model.predict_log_proba(other)), p, rtol=1e-5)
        losses.append(-np.log(p[np.arange(60), y_val.astype(int)]).mean())
    assert losses[1] < losses[0]
    assert np.isclose(-losses[0], model.validation_scores_[0], atol=1e-6)


@BOTH
@pytest.mark.parametrize("ensemble", ["folds", "bags"])
def test_several_networks_are_averaged(estimator, ensemble):
    model, X, _ = fitted(estimator, n_models=3, ensemble=ensemble, recipe="td-s")
    assert len(model.models_) == len(model.validation_scores_) == 3
    assert model.model_ is model.models_[0]
    encoded = model.encoder_.transform(X)
    if estimator is RealMLPClassifier:
        mean = np.mean([each.predict_proba(encoded) for each in model.models_], axis=0)
    else:
        outputs = np.mean([each.predict(encoded) for each in model.models_], axis=0)
        mean = model.center_[0] + model.spread_[0] * outputs  # td-s has no limits
    np.testing.assert_allclose(answers(model, X), mean, rtol=1e-5)
    with pytest.raises(
        ValueError, match=r"one network, and this .* has 3: pickle it, or fit with n_models=1"
    ):
        model.to_table_model()


@BOTH
def test_without_validation_rows_the_last_epoch_is_kept(estimator):
    model, _, _ = fitted(estimator, validation_fraction=0.0)
    assert model.model_.history_.best_epoch is None
    assert np.isnan(model.validation_scores_).all()


@BOTH
def test_without_time_there_is_a_usable_network(estimator):
    with pytest.warns(UserWarning, match="^time_limit was enough for 1 of 2 networks: raise"):
        model, X, _ = fitted(estimator, time_limit=1e-9, n_models=2)
    assert [each.history_.iterations for each in model.models_] == [1]
    assert np.isfinite(answers(model, X)).all()


def test_progress_counts_the_epochs_of_all_networks(capsys):
    fitted(RealMLPRegressor, n_models=2, verbose=2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12
    assert lines[-1].startswith("epoch 12/12, ")
    assert "val_loss" in lines[-1]


@BOTH
@pytest.mark.parametrize("recipe", ["td", "td-s"])
def test_files_for_the_command_line(estimator, recipe, tmp_path):
    model, X, _ = fitted(estimator, recipe=recipe, categorical=["code"])
    model.to_table_model("price").save(tmp_path / "model.npz")
    again = TableModel.load(tmp_path / "model.npz")
    assert again.target == "price"
    assert isinstance(again.model, bpkern.MLP)
    if estimator is RealMLPClassifier:
        assert (again.predict_proba(X) == model.predict_proba(X)).all()
    assert (again.predict(X) == model.predict(X)).all()
