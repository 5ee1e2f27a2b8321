from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from .optimizers import SGD
from .sparse import SparseRows

__version__: str
compiler: str
ACTIVATIONS: tuple[str, ...]
LOSSES: tuple[str, ...]

def available_isas() -> tuple[str, ...]: ...
def isa() -> str: ...
def select_isa(name: str) -> None: ...
def linear_forward(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, activation: str, out: np.ndarray | None
) -> np.ndarray: ...
def delta_backward(
    delta_next: np.ndarray,
    w_next: np.ndarray,
    a: np.ndarray,
    activation: str,
    z: np.ndarray | None,
    out: np.ndarray | None,
) -> np.ndarray: ...
def activate_with_slope(a: np.ndarray, slope: np.ndarray, activation: str) -> None: ...
def sgd_update(
    w: np.ndarray,
    b: np.ndarray,
    delta: np.ndarray,
    x: np.ndarray,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    vw: np.ndarray | None,
    vb: np.ndarray | None,
) -> None: ...

class BadRowError(Exception):
    row: int
    step: int

class NonFiniteLossError(Exception):
    step: int

class Data:
    def __init__(
        self, x: np.ndarray | SparseRows, y: np.ndarray | None = None, weights: np.ndarray | None = None
    ) -> None: ...
    @property
    def rows(self) -> int: ...

class Pace:
    def __init__(self) -> None: ...

class Network:
    def __init__(
        self,
        sizes: Sequence[int],
        activations: Sequence[str],
        loss: str,
        dtype: np.dtype[Any],
        parameters: np.ndarray | None = None,
        smoothing: float = 0.0,
    ) -> None: ...
    def writing(self) -> AbstractContextManager[None]: ...
    def reading(self) -> AbstractContextManager[None]: ...
    def get_layers(self) -> list[tuple[np.ndarray, np.ndarray]]: ...
    def set_layers(self, layers: Sequence[tuple[np.ndarray, np.ndarray]]) -> None: ...
    def make_velocity(self) -> None: ...
    def clear_velocity(self) -> None: ...
    def snapshot(self) -> None: ...
    def restore(self) -> None: ...
    def finite(self) -> bool: ...
    def sum_squares(self) -> float: ...
    def reserve(self, batch: int, steps: float, n_threads: int | None) -> int: ...
    def reserve_reader(self, rows: int, n_threads: int | None) -> None: ...
    def train(
        self,
        rows: Data,
        index: np.ndarray | None,
        batch: int,
        sgd: SGD,
        l2: float,
        threads: int,
        pace: Pace,
        progress: Callable[[int], None],
    ) -> tuple[float, float, float]: ...
    def evaluate(
        self, rows: Data, index: np.ndarray | None, n_threads: int | None
    ) -> tuple[float, float, float]: ...
    def forward(self, X: Any) -> np.ndarray | None: ...
    def forward_data(self, rows: Data) -> np.ndarray: ...
    def gradients(self, rows: Data, sums: Sequence[tuple[np.ndarray, np.ndarray]]) -> float: ...
