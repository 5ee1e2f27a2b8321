"""What a fit leaves behind: a list of values a metric, one an epoch."""

from collections.abc import Mapping


class History(dict[str, list[float]]):
    """The metrics of one fit: a mapping of name to a list with a value an epoch.

    Names are ``loss`` and, where there are, ``accuracy``, ``val_loss`` and ``val_accuracy``. The loss of an
    epoch is the mean over its rows, by their sample weights, of the losses before each update, the l2 penalty
    included; ``val_loss`` and ``val_accuracy`` are taken after it.

    Attributes
    ----------
    iterations : int
        Mini-batches trained on, over all epochs.

    Examples
    --------
    ``history["val_loss"][-1]`` is the last value; ``pandas.DataFrame(history)`` has a row an epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.iterations = 0

    def add_epoch(self, metrics: Mapping[str, float], iterations: int) -> None:
        """One epoch's values, and how many mini-batches it took."""
        for name, value in metrics.items():
            self.setdefault(name, []).append(value)
        self.iterations += iterations

    def __repr__(self) -> str:
        epochs = len(next(iter(self.values()), []))
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self.items())
        return f"History({epochs} epochs, {self.iterations} iterations{', last: ' if last else ''}{last})"
