"""Callbacks and a loss that workers of an executor import."""

import os
import signal
import threading

import bpkern
from bpkern.callbacks import Callback


class Fail(Callback):
    """Raise `error` after an epoch."""

    def __init__(self, error, epoch=1):
        self.error, self.epoch = error, epoch

    def on_epoch_end(self, model, epoch, logs):
        if epoch == self.epoch:
            raise self.error


class Die(Callback):
    """End the process as kill -9 does."""

    def on_epoch_end(self, model, epoch, logs):
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


class Record(Callback):
    """Keep the losses, and replace the optimiser after the first epoch."""

    def __init__(self, replace=False):
        self.losses, self.replace = [], replace

    def on_epoch_end(self, model, epoch, logs):
        self.losses.append(logs["loss"])
        if self.replace and epoch == 0:
            model.optimizer = bpkern.Adam(0.02)


class Keep(Callback):
    """Hold after the fit what no pickle can."""

    def on_fit_end(self, model):
        self.lock = threading.Lock()


class Count(Callback):
    """Write a byte into a file at the start of a fit."""

    def __init__(self, path):
        self.path = path

    def on_epoch_begin(self, model, epoch):
        if epoch == 0:
            with open(self.path, "ab") as file:
                file.write(b".")


class Freeze(Callback):
    """Freezes the first layer, and makes the next learn slower, after the first epoch."""

    def on_epoch_end(self, model, epoch, logs):
        if epoch == 0:
            model.freeze(0)
            model.set_factors(1, lr=0.5)


class TwoArguments(Exception):
    """An error that pickle writes and cannot read."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


class FailWithTwo(Callback):
    """Raise an error that cannot travel."""

    def on_epoch_end(self, model, epoch, logs):
        raise TwoArguments("one", "two")


def squares(outputs, y):
    """The sum of squares, as a function of the user."""
    return ((outputs - y) ** 2).sum(axis=1), 2 * (outputs - y)
