"""Callbacks of the estimators: those of this package, and those of scikit-learn's protocol."""

import math
import re

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from sklearn_helpers import BOTH, SMALL, STOCHASTIC, data, fitted, quietly, refused, same, validation

from bpkern.callbacks import Callback, EarlyStopping
from bpkern.sklearn import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Callbacks of bpkern ------------------------------------------------------------------------------------


class Watch(Callback):
    def __init__(self):
        self.losses, self.begun, self.ended = [], 0, 0

    def on_fit_begin(self, model):
        self.begun += 1

    def on_epoch_end(self, model, epoch, logs):
        assert epoch == len(self.losses)
        self.losses.append(logs["loss"])

    def on_fit_end(self, model):
        self.ended += 1


@BOTH
@STOCHASTIC
def test_callbacks(solver, kind):
    one, other = Watch(), Watch()
    model = fitted(kind, solver=solver, callbacks=[one, other])
    assert (one.begun, one.ended) == (1, 1)
    assert one.losses == other.losses == model.loss_curve_
    alone = Watch()
    assert same(fitted(kind, solver=solver, callbacks=alone), model)
    assert alone.losses == model.loss_curve_


def test_a_callback_ends_a_fit():
    class Stop(Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.stop_training = epoch == 1

    model = quietly(fitted, callbacks=Stop())
    assert model.n_iter_ == len(model.loss_curve_) == 2
    assert same(model, fitted(max_iter=2))


def test_a_callback_that_ends_a_fit_is_no_warning_of_too_few_iterations(recwarn):
    class Stop(Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.stop_training = epoch == 1

    fitted(callbacks=Stop())
    assert not recwarn.list


def test_early_stopping_of_bpkern_by_the_validation_loss():
    X_val, y_val = validation()
    stopping = EarlyStopping(patience=2)
    arguments = dict(X_val=X_val, y_val=y_val)
    parameters = dict(max_iter=200, learning_rate_init=0.1)
    model = fitted(arguments=arguments, callbacks=stopping, **parameters, n_iter_no_change=np.inf)
    curve = model.validation_loss_curve_
    assert stopping.stopped_epoch_ == model.n_iter_ - 1 < 199
    assert stopping.best_ == min(curve)
    # The parameters of the best epoch are restored.
    best = fitted(**parameters | dict(max_iter=int(np.argmin(curve)) + 1))
    assert same(model, best)


def test_an_interrupt_is_a_warning_and_leaves_an_estimator_that_predicts():
    class Interrupt(Callback):
        def on_epoch_begin(self, model, epoch):
            if epoch == 2:
                raise KeyboardInterrupt

    model = MLPClassifier(**SMALL, callbacks=Interrupt())
    X, y = data()
    with pytest.warns(UserWarning, match=re.escape("Training interrupted by user.")):
        model.fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 2
    assert same(model, fitted(max_iter=2))
    assert model.predict(X).shape == y.shape


def test_an_interrupted_early_stopping_keeps_the_best():
    class Interrupt(Callback):
        def on_epoch_begin(self, model, epoch):
            if epoch == 8:
                raise KeyboardInterrupt

    X_val, y_val = validation()
    parameters = dict(learning_rate_init=0.1, max_iter=12, n_iter_no_change=100)
    with pytest.warns(UserWarning, match="interrupted"):
        model = fitted(
            arguments=dict(X_val=X_val, y_val=y_val), early_stopping=True, callbacks=Interrupt(), **parameters
        )
    best = int(np.argmax(model.validation_scores_))
    assert len(model.validation_scores_) == 8
    assert same(model, fitted(**parameters | dict(max_iter=best + 1)))


def test_an_error_in_a_callback_is_raised():
    class Trip(Callback):
        def on_epoch_end(self, model, epoch, logs):
            raise RuntimeError("tripped")

    with pytest.raises(RuntimeError, match="tripped"):
        fitted(callbacks=Trip())


@pytest.mark.parametrize("bad", [3, "stop", EarlyStopping, [None]], ids=str)
def test_bad_callbacks(bad):
    with pytest.raises((ValueError, TypeError), match="callback"):
        fitted(callbacks=bad)


def test_what_lbfgs_has_no_use_for():
    refused(ValueError, "dropout", solver="lbfgs", dropout=0.5)
    refused(ValueError, "callbacks", solver="lbfgs", callbacks=[Watch()])


# Callbacks of scikit-learn ------------------------------------------------------------------------------


@pytest.fixture
def protocol():
    return pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks since 1.9")


class Recorder:
    """A callback that follows scikit-learn's protocol."""

    max_iterations = math.inf

    def __init__(self):
        self.calls, self.copies, self.data = [], [], None

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.calls.append("begin fit" if context.parent is None else "begin iteration")
        self.data = X, y, metadata

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        if context.parent is None:
            self.calls.append("end fit")
            return False
        self.calls.append("end iteration")
        self.copies.append(fitted_estimator)
        return len(self.copies) >= self.max_iterations


@pytest.mark.usefixtures("protocol")
@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_the_protocol(solver, kind):
    recorder = Recorder()
    X, y = data(kind)
    weights = np.ones(len(y))
    model = kind(**SMALL, solver=solver).set_callbacks(recorder)
    model.fit(X, y, sample_weight=weights)
    tasks = ["begin iteration", "end iteration"] * model.n_iter_
    assert recorder.calls == ["setup", "begin fit", *tasks, "end fit", "teardown"]
    assert np.array_equal(recorder.data[0], X)
    assert recorder.data[2]["sample_weight"] is weights
    assert same(model, kind(**SMALL, solver=solver).fit(X, y, sample_weight=weights))


@pytest.mark.usefixtures("protocol")
@BOTH
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_estimator_of_an_iteration(solver, kind):
    """It predicts like an estimator fitted with that max_iter."""
    recorder = Recorder()
    X, y = data(kind)
    kind(**SMALL, solver=solver).set_callbacks(recorder).fit(X, y)
    for count, copied in enumerate(recorder.copies, 1):
        shorter = fitted(kind, solver=solver, max_iter=count)
        assert np.array_equal(copied.predict(X), shorter.predict(X))
        assert np.array_equal(copied.transform(X), shorter.transform(X))


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_of_scikit_learn_ends_a_fit(solver):
    recorder = Recorder()
    recorder.max_iterations = 2
    model = MLPClassifier(**SMALL, solver=solver).set_callbacks(recorder).fit(*data())
    assert model.n_iter_ == 2
    assert recorder.calls[-2:] == ["end fit", "teardown"]
    assert same(model, fitted(solver=solver, max_iter=2))


@pytest.mark.usefixtures("protocol")
def test_a_fit_that_fails_is_torn_down():
    recorder = Recorder()
    model = MLPClassifier(**SMALL, callbacks=3).set_callbacks(recorder)
    with pytest.raises((TypeError, ValueError)):
        model.fit(*data())
    assert recorder.calls.count("setup") == recorder.calls.count("teardown")
    model.set_params(callbacks=())
    model.fit(*data())
    assert recorder.calls[-1] == "teardown"


@pytest.mark.usefixtures("protocol")
def test_a_scoring_monitor(protocol):
    monitor = protocol.ScoringMonitor(scoring="accuracy")
    X, y = data()
    MLPClassifier(**SMALL).set_callbacks(monitor).fit(X, y)
    (log,) = monitor.get_logs() if isinstance(monitor.get_logs(), list) else [monitor.get_logs()]
    scores = [row["accuracy"] for row in log.data if len(row["task_id_path"]) == 2]
    assert scores == [fitted(max_iter=count).score(X, y) for count in (1, 2, 3, 4)]


def test_callbacks_in_a_search(protocol):
    """Meta-estimators pass callbacks on, also to worker threads."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    class Propagated(Recorder):
        max_propagation_depth = None

        def on_fit_task_end(self, estimator, context, *, X=None, y=None):
            self.calls.append((type(estimator).__name__, context.task_name))

    recorder = Propagated()
    make_pipeline(StandardScaler(), MLPClassifier(**SMALL)).set_callbacks(recorder).fit(*data())
    assert sum(call[0] == "MLPClassifier" for call in recorder.calls if isinstance(call, tuple)) == 4 + 1


def test_what_is_no_callback_of_scikit_learn(protocol):
    with pytest.raises(TypeError, match="FitCallback protocol"):
        MLPClassifier().set_callbacks(Watch())
