"""The README has the sentences and the tables that `bench/report.py` writes."""

import json
import re
from pathlib import Path

import pytest
import report
from results import TASKS, Results

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README.partition(report.BEGIN)[2].partition(report.END)[0].strip()
MACHINE = re.compile(r"(.*), (\d+) cores, (\w+), float32, (\d+) threads? each; (.*?)\. ")


def cell(task, name, batch, kind, peers):
    """A cell as `peers.py` stores it. The report needs only the name and the work per step of a network."""
    layers = [int(size) for size in name.split()[0].split("-")]
    net = dict(layers=layers, activation="relu", loss="mse", batch=batch)
    return {
        "key": f"{task}: {name}",
        "name": name,
        "net": net,
        "task": task,
        "kind": kind,
        "threads": 1,
        "run": 0,
        "peers": peers,
    }


def seconds(microseconds):
    value = float(microseconds) * 1e-6
    return {"seconds": [value] * 3}


def standard_cells():
    """The cells of the README's tables of standard networks, with the printed times."""
    batches = {}  # by sizes; the first table, of training, has them
    for task, title in TASKS.items():
        table = re.search(rf"^\| {title} \|(.*)\|\n.*\n((?:\|.*\n)+)", SECTION, re.M)
        peers = [name.strip() for name in table.group(1).split("|")[:-1]]
        for row in table.group(2).splitlines():
            name, *times = (entry.strip(" *") for entry in row.strip("|").split("|"))
            sizes, _, batch = re.match(r"(\S+)(.* at (\d+))?", name).groups()
            batch = batches.setdefault(sizes, batch)
            timed = dict(zip(peers, map(seconds, times[:-1]), strict=True))
            yield cell(task, name, int(batch), "standard", timed)


def one_of_many():
    """A random network on which JAX is faster and scikit-learn has no time."""
    peers = {"bpkern": seconds(2), "scikit-learn": {"left out": "has no leaky_relu"}, "JAX": seconds(1)}
    return cell("train", "1-2 mse at 3", 3, "random", peers)


def generated(tmp_path):
    cpu, cores, isa, threads, packages = MACHINE.match(SECTION).groups()
    assert threads == "1"
    run = {
        "machine": {"cpu": cpu, "cores": int(cores), "isa": isa},
        "versions": dict(package.rsplit(" ", 1) for package in packages.split(", ")),
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"runs": [run], "cells": [*standard_cells(), one_of_many()]}))
    return report.markdown(report.grouped([Results(path)])).splitlines()


def test_the_plot_is_sorted(tmp_path):
    """A panel per network, the fastest trainer first; matplotlib writes each text as a comment, too."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    slow = {"bpkern": seconds(2), "NumPy": seconds(8), "JAX": seconds(4), "PyTorch": seconds(1)}
    cells = [
        cell("train", "1-2 mse at 3", 3, "standard", slow),
        cell("train", "1-3 mse at 3", 3, "standard", {"bpkern": seconds(1), "JAX": seconds(3)}),
    ]
    run = {"machine": {"cpu": "any", "cores": 1, "isa": "scalar"}, "versions": {}}
    report.plot([(each, run) for each in cells], tmp_path)
    texts = re.findall(r"<!-- (.*?) -->", (tmp_path / "peers.svg").read_text())
    shown = [text for text in texts if text in (*slow, "1-2", "1-3", "0.50", "2.00", "4.00", "3.00")]
    first = ["PyTorch", "JAX", "NumPy", "0.50", "2.00", "4.00", "1-2"]
    assert shown == [*first, "JAX", "3.00", "1-3"]
    assert (tmp_path / "peers.png").exists()


def without_ratio(line):
    """A row without its last entry: the ratio of times that were rounded to three digits may differ."""
    return line.rstrip("|").rpartition("|")[0] if line.startswith("|") else line


def test_the_standard_tables_are_the_readmes(tmp_path):
    lines = generated(tmp_path)
    first_of_many = next(n for n, line in enumerate(lines) if line.startswith("| training step"))
    ours, theirs = lines[:first_of_many], SECTION.splitlines()[:first_of_many]
    assert [without_ratio(line) for line in ours] == [without_ratio(line) for line in theirs]


def test_the_sentences_are_the_readmes(tmp_path):
    """Those about the many networks, whose times the README does not list."""
    lines = generated(tmp_path)
    for begin in ("| training step", "| the best other", "Networks that", "Without a time"):
        ours = next(line for line in lines if line.startswith(begin))
        theirs = next(line for line in SECTION.splitlines() if line.startswith(begin))
        number = re.compile(r"\d[\d.]*\d|\d")
        assert number.sub("#", ours) == number.sub("#", theirs)
