from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from .optimizers import Optimizer
from .steps import Watcher

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
    def __init__(self, x: Any, y: np.ndarray | None = None, weights: np.ndarray | None = None) -> None: ...
    @property
    def rows(self) -> int: ...

class Pace:
    def __init__(self, single: bool = False) -> None: ...

class Update:
    def __init__(
        self,
        optimizer: Optimizer,
        l1: float,
        l2: float,
        clip_norm: float | None,
        clip_value: float | None,
        accumulate: int,
        ema: float | None,
        penalty_per_weight: bool = False,
        mean_by_rows: bool = False,
    ) -> None: ...
    @property
    def accumulate(self) -> int: ...
    @property
    def states(self) -> int: ...
    def set_optimizer(self, optimizer: Optimizer) -> None: ...

class Network:
    counts: tuple[int, int]
    moves: int
    @property
    def has_average(self) -> bool: ...
    def __init__(
        self,
        sizes: Sequence[int],
        activations: Sequence[str],
        loss: str,
        dtype: np.dtype[Any],
        loss_parameters: np.ndarray | None = None,
        smoothing: float = 0.0,
        value_factor: float = 1.0,
        slope_factor: float = 1.0,
        most: float = ...,
        deviance: bool = False,
    ) -> None: ...
    def writing(self) -> AbstractContextManager[None]: ...
    def reading(self) -> AbstractContextManager[None]: ...
    def get_layers(self, store: str = "parameters") -> list[tuple[np.ndarray, np.ndarray]]: ...
    def set_layers(
        self, layers: Sequence[tuple[np.ndarray, np.ndarray]], store: str = "parameters"
    ) -> None: ...
    def stores(self) -> list[str]: ...
    def prepare(self, update: Update) -> None: ...
    def forget(self) -> None: ...
    def blend(self, other: Network, part: float) -> None: ...
    def drop_states(self) -> None: ...
    def start_average(self) -> None: ...
    def drop_average(self) -> None: ...
    def set_dropout(self, probabilities: Sequence[float], key: int) -> None: ...
    def snapshot(self) -> None: ...
    def restore(self) -> None: ...
    def finite(self) -> bool: ...
    def penalty(self, l1: float, l2: float, trained: bool = False) -> float: ...
    def reserve(self, batch: int, steps: float, update: Update, n_threads: int | None) -> int: ...
    def reserve_reader(self, rows: int, n_threads: int | None) -> None: ...
    def train(
        self,
        rows: Data,
        index: np.ndarray | None,
        batch: int,
        update: Update,
        rates: float | np.ndarray,
        threads: int,
        pace: Pace,
        watcher: Watcher,
        outputs: np.ndarray | None = None,
        more: bool = False,
    ) -> tuple[float, float, float]: ...
    def evaluate(
        self,
        rows: Data,
        index: np.ndarray | None,
        n_threads: int | None,
        row_losses: np.ndarray | None = None,
        outputs: np.ndarray | None = None,
    ) -> tuple[float, float, float]: ...
    def forward(self, X: Any) -> np.ndarray | None: ...
    def forward_data(
        self, rows: Data, index: np.ndarray | None = None, layers: int = 0, n_threads: int | None = None
    ) -> np.ndarray: ...
    def gradients(
        self, rows: Data, batch: int = 0, n_threads: int | None = None
    ) -> tuple[float, list[tuple[np.ndarray, np.ndarray]]]: ...

class Tape:
    def __init__(self, network: Network) -> None: ...
    def forward(self, rows: Data, index: np.ndarray | None, n_threads: int | None = None) -> np.ndarray: ...
    def backward(self, gradient: np.ndarray, wants_x: bool) -> np.ndarray | None: ...
    def update(self, update: Update, lr: float, scale: float) -> None: ...
    def spend(self, update: Update, lr: float, weight: float, at_end: bool) -> None: ...
    def gradients(self) -> list[tuple[np.ndarray, np.ndarray]]: ...
