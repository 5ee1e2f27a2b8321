"""Multilayer perceptrons trained on CPUs by fused C kernels.

>>> model = bpkern.MLP([64, 128, 10], loss="cross_entropy", optimizer=bpkern.Adam(), seed=0)
>>> history = model.fit(X, y, epochs=10, validation_split=0.1)
>>> model.predict(X_new)

`MLP` is the trainer; `fit_many` trains several models at once; `MLP.trace` returns a `Trace` of every number
of a training step. Optimisers: `SGD`, `RMSprop`, `Adagrad`, `Adam`, `AdamW`, `NAdam`. Modules: `schedules` of
learning rates, `losses` and `activations` with a parameter, `inputs`, trained in front of the first layer,
`callbacks`, the `kernels` as functions, `reference`, the same training in plain NumPy, `preprocessing` of
tables, `distributed` training, `graph`, backpropagation through expressions of scalars, `export`, of networks
to torch, ONNX and plain C, and `c_api`, the functions for C, Cython and Numba.
"""

import sys
from typing import TYPE_CHECKING, Any

from . import _config

_config.resolve_isa()  # first: an unknown instruction set ends the import

# `_old_names` is imported for its effect: it registers the former names of modules.
from . import _old_names, _threadpoolctl, activations, callbacks, losses, schedules  # noqa: E402, F401
from ._config import show_config  # noqa: E402
from ._core import __version__, available_isas, isa  # noqa: E402
from ._threads import get_num_threads, set_num_threads  # noqa: E402
from .errors import DivergedError  # noqa: E402
from .history import History  # noqa: E402
from .mlp import MLP  # noqa: E402
from .optimizers import SGD, Adagrad, Adam, AdamW, NAdam, RMSprop  # noqa: E402

if TYPE_CHECKING:
    from . import c_api, distributed, export, graph, inputs, kernels, preprocessing, reference, trace
    from ._fit.many import fit_many
    from .c_api import get_include
    from .trace import Trace

__all__ = [
    "MLP",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "DivergedError",
    "History",
    "NAdam",
    "RMSprop",
    "Trace",
    "__version__",
    "activations",
    "available_isas",
    "c_api",
    "callbacks",
    "distributed",
    "export",
    "fit_many",
    "get_include",
    "get_num_threads",
    "graph",
    "inputs",
    "isa",
    "kernels",
    "losses",
    "preprocessing",
    "reference",
    "schedules",
    "set_num_threads",
    "show_config",
    "trace",
]


_threadpoolctl.register_when_loaded()

# Imported at their first use: `reference` alone would take a third of the package's import time.
_LATER = {
    "c_api": ".c_api",
    "distributed": ".distributed",
    "export": ".export",
    "fit_many": "._fit.many",
    "get_include": ".c_api",
    "graph": ".graph",
    "inputs": ".inputs",
    "kernels": ".kernels",
    "preprocessing": ".preprocessing",
    "reference": ".reference",
    "sklearn": ".sklearn",
    "trace": ".trace",
    "Trace": ".trace",
}


def __getattr__(name: str) -> Any:
    """Import what `_LATER` lists."""
    if name in _LATER:
        from importlib import import_module

        module = import_module(_LATER[name], __name__)
        return module if _LATER[name] == f".{name}" else getattr(module, name)
    from . import kernels
    from ._attributes import unknown_attribute

    message = str(unknown_attribute(f"module {__name__!r}", name, sys.modules[__name__]))
    for module in (callbacks, schedules, losses, activations, kernels):
        if getattr(vars(module).get(name), "__module__", None) == module.__name__:
            message += f": it is {module.__name__}.{name}"
    raise AttributeError(message, name=name, obj=sys.modules[__name__])  # with which Python proposes a name


def __dir__() -> list[str]:
    """The public names alone, without the imports above."""
    return sorted(__all__)
