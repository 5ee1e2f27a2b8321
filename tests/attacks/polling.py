"""The cost of checking for signals in a fit: the time of one return to Python, times their rate."""

import time
from operator import add

import numpy as np
from journal import Journal, attack, main

import bpkern
from bpkern._fit.steps import Watcher, make_steps
from bpkern._fit.update import make_update
from bpkern._model.core import core_of


class Counting(Watcher):
    """Counts how often the steps return to Python."""

    def __init__(self, every_step):
        self.every_step, self.times = every_step, 0

    def after(self, rows, loss, weight):
        self.times += 1


def epoch(model, X, y, index, batch, threads, each):
    """(seconds, returns to Python) of an epoch that returns after each step, or as seldom as fits do."""
    settings, net = core_of(model).settings, core_of(model).net
    optimizer, watcher = settings.current_optimizer(), Counting(each)
    update = make_update(settings, optimizer)
    with net.writing():
        net.reserve(batch, len(index) / batch, update, threads)
        steps = make_steps(net, settings, update, optimizer, batch, threads, watcher)
        steps.train((X, y, None), index)  # this pass measures how seldom to return
        watcher.times, began = 0, time.perf_counter()
        steps.train((X, y, None), index)
        return time.perf_counter() - began, watcher.times


@attack(trials=60)
def polling(journal: Journal) -> str:
    """Checking for signals costs a fit at most 0.5 % of its time, including the start of its threads."""
    nets = [
        ([20, 16, 3], 32, 1),
        ([64, 128, 10], 64, 1),
        ([64, 256, 10], 64, 2),
        ([256, 512, 512, 10], 128, 2),
    ]
    rng = np.random.default_rng(0)
    for trial in journal:
        layers, batch, threads = nets[trial % len(nets)]
        model = bpkern.MLP(layers, loss="mse", optimizer=bpkern.SGD(1e-4), seed=trial)
        few = batch * 100
        x = rng.standard_normal((few, layers[0])).astype(np.float32)
        y = rng.standard_normal((few, layers[-1])).astype(np.float32)
        order = np.arange(few)
        # The cost of a return: the same steps with a return after each, and with returns as in fits.
        seldom, ups = epoch(model, x, y, order, batch, threads, False)
        often, all_ups = epoch(model, x, y, order, batch, threads, True)
        once = (often - seldom) / (all_ups - ups)
        # The rate of returns in a long epoch, which repeats the same rows.
        times = max(1, round(0.5 / seldom))
        took, ups = epoch(model, x, y, np.tile(order, times), batch, threads, False)
        name = "-".join(map(str, layers)) + f" by {threads}"
        journal.keep(name, add, [[once, ups / took]])
    parts = {}
    for name, told in journal.figures.items():
        once, rate = np.median(told, axis=0)
        parts[name] = once * rate
        if parts[name] > 0.005:
            journal.fail(journal.trials, f"{name}: {parts[name]:.2%}")
    return ", ".join(f"{name}: {part:.3%}" for name, part in parts.items())


if __name__ == "__main__":
    main(__file__)
