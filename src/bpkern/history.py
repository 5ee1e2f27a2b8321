"""What a fit leaves behind: a list of values a metric, one an epoch."""

from collections.abc import Iterator, Mapping


class History(Mapping[str, list[float]]):
    """The metrics of one fit: a mapping of name to a list with a value an epoch.

    Names are ``loss`` and, where there are, ``accuracy``, ``val_loss`` and ``val_accuracy``. The loss of an
    epoch is the mean over its rows, by their sample weights, of the losses before each update, the l2 penalty
    included; ``val_loss`` and ``val_accuracy`` are taken after it.

    Attributes
    ----------
    iterations : int
        Mini-batches trained on, over all epochs.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self.iterations = 0

    def append(self, metrics: Mapping[str, float]) -> None:
        """Add one epoch's values."""
        for name, value in metrics.items():
            self._values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> list[float]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        epochs = len(next(iter(self._values.values()), []))
        last = ", ".join(f"{name}={values[-1]:.4g}" for name, values in self._values.items())
        return f"History({epochs} epochs, {self.iterations} iterations{', last: ' if last else ''}{last})"
