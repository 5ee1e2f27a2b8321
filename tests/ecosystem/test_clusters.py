"""fit_many on the executors of Dask and mpi4py; the estimators under joblib's backends for clusters."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from executor_helpers import Fail, Record

import bpkern

RNG = np.random.default_rng(1)
X = RNG.standard_normal((90, 6))
LABELS = RNG.integers(0, 3, 90)

# Dask warns of resources that its clusters close late.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", params=["threads", "processes"])
def client(request):
    distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    is_processes = request.param == "processes"
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=is_processes, dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


def models():
    settings = dict(loss="cross_entropy", optimizer=bpkern.Adam(0.01), dropout=0.1)
    return [bpkern.MLP([6, 9, 3], seed=seed, **settings) for seed in range(4)]


def bits(models):
    return [[w.tobytes() for pair in model.get_weights() for w in pair] for model in models]


def test_dask(client):
    """Also a callback of a class that the workers cannot import."""

    class Local(Record):
        pass

    mine, serial, callbacks = models(), models(), [Local() for _ in range(4)]
    own = [{"callbacks": callback} for callback in callbacks]
    histories = bpkern.fit_many(mine, X, LABELS, epochs=3, each=own, executor=client.get_executor())
    assert histories == bpkern.fit_many(serial, X, LABELS, epochs=3)
    assert bits(mine) == bits(serial)
    assert [callback.losses for callback in callbacks] == [history["loss"] for history in histories]
    own = [{}, {"callbacks": Fail(OSError(28, "full"), 0)}, {}, {}]
    with pytest.raises(OSError, match="full") as caught:
        bpkern.fit_many(mine, X, LABELS, each=own, executor=client.get_executor())
    assert caught.value.__notes__[-1] == "models[1] of fit_many raised it. The other models are trained."


MPI = """
import numpy as np
from mpi4py.futures import MPIPoolExecutor
import bpkern
from test_clusters import LABELS, X, bits, models

if __name__ == "__main__":
    mine, serial = models(), models()
    with MPIPoolExecutor() as pool:
        histories = bpkern.fit_many(mine, X, LABELS, epochs=3, executor=pool)
    assert histories == bpkern.fit_many(serial, X, LABELS, epochs=3)
    assert bits(mine) == bits(serial)
    print("the same")
"""


def test_mpi(tmp_path):
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    search = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    mpiexec = shutil.which("mpiexec", path=search) or pytest.skip("there is no mpiexec")
    (tmp_path / "script.py").write_text(MPI)
    path = [os.path.dirname(__file__), *filter(None, sys.path)]
    command = [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(tmp_path / "script.py")]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "the same\n", done.stderr


def search():
    """The results of a grid search with an estimator, which draws from its random_state in each fit."""
    from sklearn.model_selection import GridSearchCV

    from bpkern.sklearn import MLPClassifier

    estimator = MLPClassifier(hidden_layer_sizes=(7,), max_iter=5, random_state=0, early_stopping=True)
    grid = {"alpha": [1e-4, 1.0], "solver": ["adam", "sgd"]}
    found = GridSearchCV(estimator, grid, cv=3, n_jobs=2).fit(X, LABELS)
    scores = {name: values for name, values in found.cv_results_.items() if "time" not in name}
    return str(scores), [w.tobytes() for w in found.best_estimator_.coefs_]


def test_the_estimators_under_dask(client):
    pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    with joblib.parallel_config("sequential"):
        serial = search()
    with joblib.parallel_config("dask"):
        assert search() == serial


def test_the_estimators_in_processes():
    pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    with joblib.parallel_config("sequential"):
        serial = search()
    with joblib.parallel_config("loky"):
        assert search() == serial


def test_loky():
    """Its executor, which pickles functions of functions."""
    executors = pytest.importorskip("joblib.externals.loky", reason="joblib is not installed")
    mine, serial = models(), models()
    with executors.ProcessPoolExecutor(2) as pool:
        bpkern.fit_many(mine, X, LABELS, executor=pool)
    bpkern.fit_many(serial, X, LABELS)
    assert bits(mine) == bits(serial)
