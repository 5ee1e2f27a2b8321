"""Modules of version 0.1 that have moved, by their old names, for pickles that name classes in them.

Pickles of `bpkern.reference.MLP` and of summaries need them; those of models and estimators do not.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

MOVED = {
    "bpkern.conventions": "bpkern._model.conventions",
    "bpkern.seeding": "bpkern._model.seeding",
    "bpkern.settings": "bpkern._model.settings",
    "bpkern.summary": "bpkern._model.summary",
}


class _Moved(ModuleType):
    """A module whose names are those of another one, which is imported at the first use."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(import_module(MOVED[self.__name__]), name)


for _old in MOVED:
    sys.modules[_old] = _Moved(_old)
