"""Warnings of the estimators name the line of the user's call, through scikit-learn's wrappers too."""

import re
import threading
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bpkern.callbacks import Callback
from bpkern.sklearn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(0)
X, LABELS, Y = RNG.standard_normal((60, 4)), RNG.integers(0, 2, 60), RNG.standard_normal(60)


class Interrupts(Callback):
    def on_epoch_end(self, model, epoch, logs):
        raise KeyboardInterrupt


def warned_at(fit, category, message):
    """Whether a function of one line gives this warning, and names that line in it."""
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        fit()
    lines = [
        (each.filename, each.lineno)
        for each in caught
        if each.category is category and re.search(message, str(each.message))
    ]
    return lines == [(__file__, fit.__code__.co_firstlineno)]


CASES = {
    "batch size": ({"batch_size": 1000, "max_iter": 1}, UserWarning, "Got `batch_size`"),
    "iterations": ({"max_iter": 2}, ConvergenceWarning, r"Maximum iterations \(2\) reached"),
    "interrupt": ({"callbacks": Interrupts()}, UserWarning, "interrupted by user"),
}


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize(("settings", "category", "message"), CASES.values(), ids=CASES)
def test_the_line_of_the_call(estimator, settings, category, message):
    y = LABELS if estimator is MLPClassifier else Y
    model = estimator(random_state=0, **settings)
    assert warned_at(lambda: model.fit(X, y), category, message)
    assert warned_at(lambda: make_pipeline(StandardScaler(), model).fit(X, y), category, message)


def test_the_line_of_a_partial_fit():
    model = MLPRegressor(batch_size=1000)
    assert warned_at(lambda: model.partial_fit(X, Y), UserWarning, "Got `batch_size`")


def test_the_line_of_a_divergence():
    settings = dict(solver="sgd", learning_rate_init=1e30, early_stopping=True, random_state=0)
    model = MLPRegressor(**settings)
    assert warned_at(lambda: model.fit(X, Y), ConvergenceWarning, "diverged")


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_the_line_of_a_fit_by_lbfgs(estimator):
    y = LABELS if estimator is MLPClassifier else Y
    model = estimator(solver="lbfgs", max_iter=2)
    assert warned_at(lambda: model.fit(X, y), ConvergenceWarning, "lbfgs failed to converge")


def test_the_line_of_a_search():
    """joblib's frames stand between the user's line and the fit."""
    search = GridSearchCV(MLPRegressor(max_iter=2), {"alpha": [0.1]}, cv=2, refit=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search.fit(X, Y)
    assert [each.filename for each in caught] == [__file__] * 2


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_large_columns_are_named_at_the_line_of_the_call(estimator):
    y = LABELS if estimator is MLPClassifier else Y
    model = estimator(random_state=0)
    large = X * [1, 500, 1, 70]
    assert warned_at(
        lambda: model.fit(large, y), UserWarning, "2 of 4 columns of X hold large numbers: 1, 3. Net"
    )
    assert not warned_at(lambda: model.fit(X, y), UserWarning, "columns of X")
    assert not warned_at(lambda: model.partial_fit(large, y), UserWarning, "columns of X")


def test_the_fits_of_a_search_warn_of_large_columns_in_the_same_words():
    """Which Python, by default, shows once."""
    search = GridSearchCV(MLPRegressor(max_iter=20), {"alpha": [0.1, 0.2]}, cv=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(X * [1, 500, 1, 70], Y)
    assert len(caught) == 7
    assert len({str(each.message) for each in caught}) == 1


def test_a_column_of_labels_is_named_at_the_line_of_the_call():
    model = MLPClassifier(random_state=0)
    assert warned_at(lambda: model.fit(X, LABELS[:, None]), DataConversionWarning, "A column-vector y was")


def test_a_thread_has_no_line_of_the_user():
    """As a process of joblib: the line that calls this package is named, not one of Python's threads."""
    model = MLPRegressor(max_iter=2)
    thread = threading.Thread(target=model.fit, args=(X, Y))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thread.start()
        thread.join()
    [told] = [each.filename for each in caught if each.category is ConvergenceWarning]
    assert not told.endswith("threading.py")
