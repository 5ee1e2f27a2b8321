"""`bpkern.sklearn` beside scikit-learn: the time of a fit, and the quality.

python bench/drop_in.py [--rounds 7]
python bench/drop_in.py --calls
python bench/drop_in.py --quality [--seeds 10]

On one thread, in turns: fits with equal parameters and random_state, of digits with the defaults and of 50000
rows of 50 features. Prints medians, and the median over rounds of the ratio of the times per iteration. With
--calls it prints the microseconds of small calls, and with --quality the scores on five data sets, paired by
seed.
"""

import argparse
import warnings

from pinning import pin

DTYPES = ("float32", "float64")
SETS = ("digits", "iris", "wine", "breast_cancer", "diabetes")
# Epochs on the 50000 rows; few enough that no fit converges before the end.
EPOCHS = 5
LARGE = dict(max_iter=EPOCHS, tol=0.0, n_iter_no_change=EPOCHS)


def digits():
    """(X, y) of the digits, with pixels from 0 to 1."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X / 16, y


def large():
    """50000 rows of 50 features, in ten classes."""
    from sklearn.datasets import make_classification

    return make_classification(50000, 50, n_informative=30, n_classes=10, random_state=0)


def large_regression():
    """The same rows, with a target that depends on them nonlinearly."""
    import numpy as np

    X, _ = large()
    return X, np.sin(X[:, :10]).sum(axis=1) + 0.1 * X[:, 10] * X[:, 11]


def cases():
    """Name, class, parameters and data."""
    return {
        "digits, defaults": ("MLPClassifier", {}, digits()),
        "50000 x 50, ten classes": ("MLPClassifier", LARGE, large()),
        "50000 x 50, regression": ("MLPRegressor", LARGE, large_regression()),
    }


def compare_times(rounds: int) -> None:
    """Print the table of seconds."""
    import numpy as np
    from sklearn import neural_network
    from timing import in_turns

    import bpkern
    from bpkern import sklearn as drop_in

    modules = {"scikit-learn": neural_network, "bpkern": drop_in}
    runs, models = {}, {}
    for case, (kind, parameters, (X, y)) in cases().items():
        for dtype in DTYPES:
            rows = X.astype(dtype)
            for name, module in modules.items():
                model = getattr(module, kind)(random_state=0, **parameters)

                def run(count, model=model, rows=rows, y=y):
                    for _ in range(count):
                        model.fit(rows, y)

                key = case, dtype, name
                runs[key], models[key] = (run, 1), model
    for run, _ in runs.values():
        run(1)
    samples = in_turns(runs, rounds, float("inf"))

    print(f"1 thread, {bpkern.isa()}, medians of {rounds} rounds\n")
    print(f"{'':26}{'':9}{'iterations':>22}{'seconds':>22}")
    print(f"{'':26}{'':9}" + f"{'scikit-learn':>14}{'bpkern':>8}" * 2 + f"{'x an iteration':>17}")
    for case in cases():
        for dtype in DTYPES:
            keys = [(case, dtype, name) for name in modules]
            counts = [models[key].n_iter_ for key in keys]
            seconds = [np.array(samples[key].seconds) for key in keys]
            ratio = np.median((seconds[0] / counts[0]) / (seconds[1] / counts[1]))
            medians = [np.median(each) for each in seconds]
            print(
                f"{case:26}{dtype:9}{counts[0]:14}{counts[1]:8}{medians[0]:14.3f}{medians[1]:8.3f}{ratio:17.2f}"
            )


def small_calls(module, kind: str, classes: int):
    """Calls by name, each with 20 features: predictions, a fit of one iteration, steps of one row."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 20))
    y = rng.integers(0, classes, 100) if classes else X[:, 0]
    fitted = getattr(module, kind)(max_iter=1, random_state=0).fit(X, y)
    again = getattr(module, kind)(max_iter=1, random_state=0)
    stepped = getattr(module, kind)(random_state=0).fit(X, y)
    row, rows, target, as_list = X[:1], X[:10], y[:1], ([X[0].tolist()], [y[0].item()])
    return {
        "predict, 1 row": lambda: fitted.predict(row),
        "predict, 10 rows": lambda: fitted.predict(rows),
        "fit, 100 rows, 1 iteration": lambda: again.fit(X, y),
        "partial_fit, 1 row": lambda: stepped.partial_fit(row, target),
        "partial_fit, 1 row, lists": lambda: stepped.partial_fit(*as_list),
    }


def compare_calls(rounds: int) -> None:
    """Print the table of microseconds."""
    import numpy as np
    from sklearn import neural_network
    from timing import in_turns, microseconds

    from bpkern import sklearn as drop_in

    cases = (
        ("3 classes", "MLPClassifier", 3),
        ("2 classes", "MLPClassifier", 2),
        ("values", "MLPRegressor", 0),
    )
    print(f"{'µs per call':40}{'scikit-learn':>14}{'bpkern':>8}{'ratio':>8}")
    for case, kind, classes in cases:
        calls = [small_calls(module, kind, classes) for module in (neural_network, drop_in)]
        for name in calls[0]:
            runs = {}
            for library, own in zip(("theirs", "ours"), calls, strict=True):

                def run(count, call=own[name]):
                    for _ in range(count):
                        call()

                runs[library] = run, 10
                run(3)
            samples = in_turns(runs, rounds, float("inf"))
            theirs, ours = (np.median(samples[library].seconds) for library in ("theirs", "ours"))
            line = f"{f'{case}: {name}':40}{microseconds(theirs):>14}{microseconds(ours):>8}"
            print(f"{line}{theirs / ours:8.1f}")


def parts(name: str, seed: int):
    """Training rows and a quarter for testing, standardised."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if name == "diabetes":
        y = (y - y.mean()) / y.std()
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=seed)
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), scaler.transform(X_test), y, y_test


def compare_scores(seeds: int) -> None:
    """Print the table of scores and the mean difference over all pairs."""
    import numpy as np
    from sklearn import neural_network

    from bpkern import sklearn as drop_in

    print(f"defaults, {seeds} seeds; accuracy, of diabetes R2; difference and its standard error\n")
    print(f"{'':16}{'scikit-learn':>14}" + "".join(f"{dtype:>12}{'difference':>20}" for dtype in DTYPES))
    pooled = {dtype: [] for dtype in DTYPES}
    for name in SETS:
        kind = "MLPRegressor" if name == "diabetes" else "MLPClassifier"
        theirs, ours = [], {dtype: [] for dtype in DTYPES}
        for seed in range(seeds):
            X, X_test, y, y_test = parts(name, seed)
            model = getattr(neural_network, kind)(random_state=seed).fit(X, y)
            theirs.append(model.score(X_test, y_test))
            for dtype in DTYPES:
                model = getattr(drop_in, kind)(random_state=seed).fit(X.astype(dtype), y)
                ours[dtype].append(model.score(X_test.astype(dtype), y_test))
        line = f"{name:16}{np.mean(theirs):14.4f}"
        for dtype in DTYPES:
            differences = np.subtract(ours[dtype], theirs)
            pooled[dtype] += differences.tolist()
            line += f"{np.mean(ours[dtype]):12.4f}{with_error(differences):>20}"
        print(line)
    print(f"{'all pairs':16}{'':14}" + "".join(f"{'':12}{with_error(pooled[d]):>20}" for d in DTYPES))


def with_error(differences) -> str:
    """The mean of the differences and its standard error."""
    import numpy as np

    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    return f"{np.mean(differences):+.5f} +-{error:.5f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quality", action="store_true", help="print scores instead of times")
    parser.add_argument("--calls", action="store_true", help="print times of small calls")
    parser.add_argument("--rounds", type=int, default=7, help="rounds to take medians of (7)")
    parser.add_argument("--seeds", type=int, default=10, help="seeds for --quality, at least 2 (10)")
    args = parser.parse_args()
    pin(1)

    from sklearn.exceptions import ConvergenceWarning

    # The default of 200 iterations may end before convergence.
    warnings.simplefilter("ignore", ConvergenceWarning)
    if args.quality:
        compare_scores(args.seeds)
    elif args.calls:
        compare_calls(args.rounds)
    else:
        compare_times(args.rounds)


if __name__ == "__main__":
    main()
