"""L-BFGS: SciPy's steps with this package's gradients."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, minimize
from threadpoolctl import threadpool_limits

from .._data.rows import Rows
from .trainer import Trainer

# Held by the fit that has set the number of BLAS's threads.
_limiting = threading.Lock()


@contextmanager
def _one_thread_of_blas() -> Iterator[None]:
    """A context in which BLAS uses one thread.

    The number is one for the whole process. Of overlapping fits only the first sets it: a later one would
    restore at its end the number that the first had set.
    """
    if not _limiting.acquire(blocking=False):
        yield
        return
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        _limiting.release()


def _packed(coefs: list[np.ndarray], intercepts: list[np.ndarray]) -> np.ndarray:
    """All parameters as one float64 vector."""
    return np.concatenate([array.ravel() for array in (*coefs, *intercepts)]).astype(np.float64)


def _unpacked(
    vector: np.ndarray, coefs: list[np.ndarray], intercepts: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The inverse of `_packed`: arrays of the shapes and dtypes of these."""
    likes = [*coefs, *intercepts]
    parts = np.split(vector, np.cumsum([like.size for like in likes])[:-1])
    arrays = [part.reshape(like.shape).astype(like.dtype) for part, like in zip(parts, likes, strict=True)]
    return arrays[: len(coefs)], arrays[len(coefs) :]


def minimise(
    trainer: Trainer,
    rows: Rows,
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
    n_threads: int | None,
    callback: Callable[[OptimizeResult], None],
) -> OptimizeResult:
    """Train a network by L-BFGS with all rows in each step; the network keeps the parameters found.

    Parameters
    ----------
    trainer : Trainer
    rows : Rows
    max_iter, max_fun : int
        Largest numbers of iterations, and of evaluations of loss and gradients.
    tol : float
        Training ends when no element of the gradient is larger in absolute value.
    n_threads : int or None
    callback : callable
        Called with SciPy's result so far after each iteration; StopIteration ends the training.

    Returns
    -------
    OptimizeResult
    """
    coefs, intercepts = trainer.get_coefs()

    def loss_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
        trainer.put_coefs(*_unpacked(vector, coefs, intercepts))
        loss, gradients = trainer.loss_and_gradients(rows, n_threads)
        return loss, _packed([dw.T for dw, _ in gradients], [db for _, db in gradients])

    def note(intermediate_result: OptimizeResult) -> None:
        trainer.put_coefs(*_unpacked(intermediate_result.x, coefs, intercepts))
        callback(intermediate_result)

    # SciPy's own work between two gradients is small, and slower with several threads of BLAS.
    with _one_thread_of_blas():
        result: Any = minimize(
            loss_and_gradient,
            _packed(coefs, intercepts),
            method="L-BFGS-B",
            jac=True,
            options={"maxfun": max_fun, "maxiter": max_iter, "gtol": tol},
            callback=note,
        )
    trainer.put_coefs(*_unpacked(result.x, coefs, intercepts))
    return result
