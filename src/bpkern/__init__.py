"""Multilayer perceptrons trained on CPUs by fused C kernels.

>>> model = bpkern.MLP([64, 128, 10], loss="cross_entropy", seed=0)
>>> history = model.fit(X, y, epochs=10)
"""

from . import config

config.resolve_isa()

from . import kernels, losses, reference  # noqa: E402
from ._core import __version__, available_isas, isa  # noqa: E402
from .config import show_config  # noqa: E402
from .errors import DivergedError  # noqa: E402
from .history import History  # noqa: E402
from .mlp import MLP  # noqa: E402
from .optimizers import SGD  # noqa: E402
from .threads import get_num_threads, set_num_threads  # noqa: E402

__all__ = [
    "MLP",
    "SGD",
    "DivergedError",
    "History",
    "__version__",
    "available_isas",
    "get_num_threads",
    "isa",
    "kernels",
    "losses",
    "reference",
    "set_num_threads",
    "show_config",
]
