"""The commands on tables, from a CSV file to predictions, and what they say about bad input."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from bpkern._cli import main
from bpkern._table.scores import of_probabilities, of_values
from bpkern._table.task import split
from bpkern.preprocessing import TableModel


@pytest.fixture
def bpkern(capsys, tmp_path, monkeypatch):
    """Runs a command in a folder of its own; returns status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return run


def write(path, header, rows, delimiter=","):
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(rows)


def flats(path, count=200, seed=0):
    """Rents as a spreadsheet of a German office writes them."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        size, place = rng.uniform(20, 140), rng.choice(["Mitte", "Nord", "Süd; am Fluss"])
        rent = size * {"Mitte": 16, "Nord": 10}.get(place, 13)
        rows.append(
            [
                i,
                place,
                f"{size:.1f}".replace(".", ","),
                "" if i % 9 == 0 else "ja",
                "01.03.2024",
                f"Haus {i}",
                f"{rent:.2f}".replace(".", ","),
            ]
        )
    write(path, ["Nr", "Lage", "Größe", "Balkon", "vom", "Name", "Miete"], rows, ";")


def test_from_a_file_to_predictions(bpkern):
    flats("flats.csv")
    status, out, err = bpkern(
        "fit", "flats.csv", "--target", "Miete", "-o", "m.npz", "--drop", "Nr", "--report", "r.html"
    )
    assert (status, err) == (0, "")
    assert "flats.csv: 200 rows, 7 columns" in out
    assert re.search(r"Lage +texts, 3 categories: Mitte, Nord, Süd; am Fluss\n", out)
    assert re.search(r"Größe +numbers, 2\d.* to 1\d\d", out)
    assert re.search(r"Balkon +texts, 1 category: ja; 23 gaps\n", out)
    assert re.search(r"vom +left out: dates\n", out)
    assert re.search(r"Name +left out: 200 different texts in 200 rows name the rows\n", out)
    assert re.search(r"Nr +left out: by --drop\n", out)
    assert "training on 136 rows, choosing the best epoch by 24, measuring on 40\n" in out
    network, mean = map(float, re.search(r"R² +(\S+) +(\S+)\n", out).groups())
    assert network > 0.95
    assert mean <= 0

    flats("new.csv", 30, seed=1)
    status, out, err = bpkern("predict", "m.npz", "new.csv", "-o", "out.csv")
    assert (status, out, err) == (0, "out.csv written: 30 rows\n", "")
    header, *rows = csv.reader(Path("out.csv").read_text(encoding="utf-8").splitlines())
    assert header == ["Miete"]
    assert len(rows) == 30
    status, out, _ = bpkern("evaluate", "m.npz", "new.csv")
    assert float(re.search(r"R² +(\S+)", out)[1]) > 0.9
    status, out, _ = bpkern("show", "m.npz")
    assert out.startswith("predicts values of Miete\nfrom 3 columns")
    assert "  Lage    text, 3: Mitte, Nord, Süd; am Fluss\n" in out
    assert "Optimiser:" not in out

    page = Path("r.html").read_text(encoding="utf-8")
    for heading in ("Scores", "Learning curves", "Predictions", "Importance of the columns", "Columns"):
        assert f"<h2>{heading}</h2>" in page
    assert page.index("Größe: RMSE rises") < page.index("Lage: RMSE rises") < page.index("Balkon: RMSE rises")
    assert not re.search(r'(src|href)="|url\(|<script', page)


def patients(path, count=120, seed=0, word="yes"):
    rng = np.random.default_rng(seed)
    rows = [
        [a := int(rng.integers(18, 90)), rng.choice(["m", "f"]), word if a > 50 else "no"]
        for _ in range(count)
    ]
    write(path, ["age", "sex", "ill"], rows)


def test_classes_with_another_file_to_measure_by(bpkern):
    patients("train.csv")
    patients("test.csv", 50, seed=1)
    command = ["fit", "train.csv", "--target", "ill", "-o", "m.npz"]
    more = ["--validation", "test.csv", "--report", "r.html", "--recipe", "td"]
    status, out, err = bpkern(*command, *more)
    assert (status, err) == (0, "")
    assert "training on 102 rows, choosing the best epoch by 18, measuring on 50 of test.csv\n" in out
    assert float(re.search(r"accuracy +(\S+) %", out)[1]) > 85
    assert "always yes" in out
    assert "<h2>Confusion</h2>" in Path("r.html").read_text(encoding="utf-8")
    _, out, _ = bpkern("predict", "m.npz", "test.csv")
    header, *rows = csv.reader(out.splitlines())
    assert header == ["ill", "probability of no", "probability of yes"]
    assert all((row[0] == "yes") == (float(row[2]) > 0.5) for row in rows)
    assert TableModel.load("m.npz").target == "ill"
    status, out, _ = bpkern("evaluate", "m.npz", "test.csv")
    assert "50 rows of test.csv" in out
    patients("other.csv", 20, word="oui")
    status, _, err = bpkern("evaluate", "m.npz", "other.csv")
    assert status == 1
    assert re.search(r"other\.csv, column 'ill', row \d+: 'oui' is no class of fit: 'no', 'yes'", err)


def test_no_command_writes_over_what_it_reads(bpkern):
    patients("a.csv")
    assert bpkern("fit", "a.csv", "--target", "ill", "-o", "m.npz", "--time", "1")[0] == 0
    Path("link.csv").symlink_to("a.csv")
    before = [Path(name).read_bytes() for name in ("a.csv", "m.npz")]
    for output in ("a.csv", "./a.csv", "link.csv", "m.npz"):
        status, _, err = bpkern("predict", "m.npz", "a.csv", "-o", output)
        assert (status, f"{output} is read by this command" in err) == (1, True)
    assert [Path(name).read_bytes() for name in ("a.csv", "m.npz")] == before


def test_gradient_boosting_beside(bpkern):
    """Its scores are those of scikit-learn's own call on the same rows, with gaps and categories."""
    pytest.importorskip("sklearn")
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    patients("train.csv", 60)
    patients("test.csv", 40, seed=1)
    command = ["fit", "train.csv", "--target", "ill", "-o", "m.npz", "--validation", "test.csv"]
    with threadpool_limits(1):
        _, out, _ = bpkern(*command, "--compare", "--time", "1")
        shown = float(re.search(r"accuracy .* (\S+) %\n", out)[1])
        rows = {}
        for name in ("train", "test"):
            _, *found = csv.reader(Path(f"{name}.csv").read_text(encoding="utf-8").splitlines())
            rows[name] = np.array([[age, sex == "m"] for age, sex, _ in found], float), [y for *_, y in found]
        model = HistGradientBoostingClassifier(categorical_features=[1], random_state=0).fit(*rows["train"])
        assert shown == pytest.approx(100 * model.score(*rows["test"]), abs=0.06)


def test_tasks(bpkern):
    rng = np.random.default_rng(0)
    write("t.csv", ["x", "grade", "half"], [[rng.normal(), i % 5, i % 3 / 2] for i in range(60)])
    for target, task, words in (
        ("grade", "auto", "5 classes to predict: 0, 1, 2, 3, 4"),
        ("grade", "regression", "values to predict, 0 to 4"),
        ("half", "auto", "values to predict, 0 to 1"),
        ("half", "classification", "3 classes to predict: 0.0, 0.5, 1.0"),
    ):
        status, out, _ = bpkern(
            "fit", "t.csv", "--target", target, "--task", task, "-o", "m.npz", "--time", "1"
        )
        assert status == 0
        assert words in out
    assert bpkern("predict", "m.npz", "t.csv")[1].startswith("half,probability of 0.0,")


def test_a_network_that_finds_nothing(bpkern):
    """One class has nearly all rows, and nothing tells the others."""
    rng = np.random.default_rng(0)
    write("t.csv", ["x", "y"], [[rng.normal(), "b" if i % 20 == 0 else "a"] for i in range(100)])
    status, out, _ = bpkern("fit", "t.csv", "--target", "y", "-o", "m.npz", "--time", "1")
    assert status == 0
    assert "The network predicts no better than 'always" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["fit", "t.csv", "--target", "z", "-o", "m.npz"],
            "t.csv has no column 'z': there are 'x', 'y', 'name'",
        ),
        (["fit", "t.csv", "--target", "Name", "-o", "m.npz"], "'x', 'y', 'name'; did you mean 'name'?"),
        (
            ["fit", "t.csv", "--target", "y", "-o", "m.npz", "--drop", "X"],
            "no column 'X': there are 'x', 'y', 'name'; did you mean 'x'?",
        ),
        (["predict", "t.csv", "net.npz"], "the model comes first: bpkern predict net.npz t.csv"),
        (["fit", "t.csv", "--target", "y", "-o", "m.txt"], "must end in .npz or .safetensors, not 'm.txt'"),
        (["fit", "t.csv", "--target", "y", "-o", "no/m.npz"], "No such file or directory: "),
        (["fit", "no.csv", "--target", "y", "-o", "m.npz"], "No such file or directory: 'no.csv'"),
        (
            ["fit", "t.csv", "--target", "y", "-o", "m.npz", "--report", "r.pdf"],
            "must end in .html, not 'r.pdf'",
        ),
        (["fit", "t.csv", "--target", "y", "-o", "m.npz", "--drop", "q"], "t.csv has no column 'q'"),
        (
            ["fit", "t.csv", "--target", "name", "--task", "regression", "-o", "m.npz"],
            "regression needs numbers",
        ),
        (["fit", "few.csv", "--target", "y", "-o", "m.npz"], "few.csv has 4 rows to learn from; at least 10"),
        (["predict", "net.npz", "t.csv"], "holds a network without an encoder"),
        (["predict", "t.csv", "t.csv"], "must end in .npz or .safetensors"),
        (["show", "missing.npz"], "No such file or directory: 'missing.npz'"),
    ],
)
def test_errors_are_one_line(bpkern, arguments, message):
    import bpkern as package

    write("t.csv", ["x", "y", "name"], [[i * 7 % 13, i / 7, f"n{i % 4}"] for i in range(30)])
    write("few.csv", ["x", "y"], [[i, i / 7] for i in range(4)])
    package.MLP([2, 1], loss="mse").save("net.npz")
    status, _, err = bpkern(*arguments)
    assert status == 1
    assert err.startswith(f"bpkern {arguments[0]}: ")
    assert message in err
    assert err.count("\n") == 1


# Parts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize(("rows", "part"), [(2, 0.2), (10, 0.2), (997, 0.15), (50, 0.5)])
def test_splits_are_whole_and_stratified(rows, part, stratify):
    y = np.arange(rows) * 7 % 3
    first, second = split(y, stratify, part, np.random.default_rng(0))
    assert sorted([*first, *second]) == list(range(rows))
    assert len(second) == max(1, round(part * rows))
    if stratify:
        counts = np.bincount(y[second], minlength=3) / part
        assert (np.abs(counts - np.bincount(y, minlength=3)) <= 2 / part).all()


def test_scores_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    y, proba = rng.integers(0, 3, 50), rng.dirichlet([1, 1, 1], 50)
    found = of_probabilities(y, proba)
    assert found["log loss"] == pytest.approx(metrics.log_loss(y, proba))
    assert found["accuracy"] == metrics.accuracy_score(y, proba.argmax(1))
    values, predicted = rng.normal(size=(2, 50))
    found = of_values(values, predicted)
    assert found["RMSE"] == pytest.approx(metrics.root_mean_squared_error(values, predicted))
    assert found["MAE"] == pytest.approx(metrics.mean_absolute_error(values, predicted))
    assert found["R²"] == pytest.approx(metrics.r2_score(values, predicted))
