"""The results of `peers.py` in a file, and their summary.

A file holds "runs" (command, machine, versions) and "cells". A cell has the index of its run, a network, a
task, and for each trainer the seconds of the task (first quartile, median, third quartile) or the reason why
it has none.
"""

import json
import math
import os
from dataclasses import asdict
from pathlib import Path

OWN = "bpkern"
TASKS = {
    "train": "µs per training step",
    "forward": "µs per forward call with one row",
    "predict": "µs per predict call with 256 rows",
}


def name_of(net, task: str) -> str:
    """The network's name, including the training for tasks that depend on it."""
    return net.name if task == "train" else net.shape


def key_of(net, task: str, threads: int) -> str:
    """The key that identifies a cell."""
    return f"{task}: {name_of(net, task)}, threads {threads}"


class Results:
    """A file of results to which cells are added one by one; without a path, only in memory."""

    def __init__(self, path: Path | None):
        self.path = path
        self.content = {"runs": [], "cells": []}
        if path and path.exists():
            self.content = json.loads(path.read_text())

    @property
    def cells(self) -> list[dict]:
        """All cells, in the order they were run."""
        return self.content["cells"]

    def has(self, key: str) -> bool:
        """Whether there is a cell with this key."""
        return any(cell["key"] == key for cell in self.cells)

    def begin(self, command: str, machine: dict, versions: dict[str, str]) -> None:
        """Start a run; SystemExit if the file's results are from another machine."""
        for run in self.content["runs"]:
            for what in ("cpu", "cores", "isa"):
                was, now = run["machine"][what], machine[what]
                if was != now:
                    raise SystemExit(f"{self.path} is from another machine: {what} {was}, not {now}")
        self.content["runs"].append({"command": command, "machine": machine, "versions": versions})

    def add(self, net, task: str, kind: str, limit: float | None, peers: dict[str, dict]) -> dict:
        """Add a cell of the current run, and write the file."""
        threads = self.content["runs"][-1]["machine"]["threads"]
        cell = {
            "key": key_of(net, task, threads),
            "name": name_of(net, task),
            "net": asdict(net),
            "task": task,
            "kind": kind,
            "threads": threads,
            "run": len(self.content["runs"]) - 1,
            "limit": limit,
            "peers": peers,
        }
        self.cells.append(cell)
        if self.path:
            written = self.path.with_name(self.path.name + ".new")
            written.write_text(json.dumps(self.content, indent=1) + "\n")
            os.replace(written, self.path)
        return cell


def median(cell: dict, peer: str) -> float | None:
    """The median seconds of a trainer, or None if it has no time."""
    seconds = cell["peers"].get(peer, {}).get("seconds")
    return seconds[1] if seconds else None


def best_peer(cell: dict) -> str | None:
    """The fastest trainer other than bpkern."""
    timed = [name for name in cell["peers"] if name != OWN and median(cell, name)]
    return min(timed, key=lambda name: median(cell, name), default=None)


def ratio(cell: dict, peer: str | None = None) -> float | None:
    """A trainer's time (by default the best other one's) divided by bpkern's: above 1, bpkern is faster."""
    peer = peer or best_peer(cell)
    own, theirs = median(cell, OWN), median(cell, peer) if peer else None
    return theirs / own if own and theirs else None


def names(cells: list[dict]) -> list[str]:
    """The trainers in the cells, bpkern first."""
    found = dict.fromkeys(name for cell in cells for name in cell["peers"])
    return [OWN, *(name for name in found if name != OWN)]


def geometric_mean(values: list[float]) -> float:
    """The geometric mean of ratios."""
    return math.exp(sum(map(math.log, values)) / len(values))


def losers(cells: list[dict]) -> list[dict]:
    """The cells in which bpkern is not the fastest or has no time, the worst first."""
    lost = [cell for cell in cells if median(cell, OWN) is None or (ratio(cell) or math.inf) < 1]
    return sorted(lost, key=lambda cell: ratio(cell) or 0)


def summary(cells: list[dict]) -> list[str]:
    """Lines: geometric means of the ratios, for each trainer and for the best one; and every lost cell."""
    lines = []
    for name in names(cells)[1:]:
        ratios = [r for cell in cells if (r := ratio(cell, name))]
        if ratios:
            lines.append(f"{name} / {OWN}: {geometric_mean(ratios):.2f} over {len(ratios)} cells")
    ratios = [r for cell in cells if (r := ratio(cell))]
    if ratios:
        lines.append(f"best of them / {OWN}: {geometric_mean(ratios):.2f} over {len(ratios)} cells")
    lost = losers(cells)
    lines.append(f"lost: {len(lost)} of {len(cells)} cells")
    for cell in lost:
        by = ratio(cell)
        how = f"{by:.3f}, to {best_peer(cell)}" if by else f"no time of {OWN}"
        lines.append(f"  {cell['name']}: {how}")
    return lines
