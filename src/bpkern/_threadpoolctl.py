"""bpkern in threadpoolctl: `threadpool_info` lists it, and `threadpool_limits` limits it."""

import os
import sys
from types import ModuleType
from typing import Any

from . import _core, _threads

NAME = "threadpoolctl"


def register(threadpoolctl: Any) -> None:
    """Register the extension with threadpoolctl, as a library of its own user API "bpkern", once.

    Versions before 3.2 take no other libraries.
    """
    if not hasattr(threadpoolctl, "register"):
        return
    if any(kind.__module__ == __name__ for kind in threadpoolctl.LibController.__subclasses__()):
        return  # bpkern has been imported before

    class BpkernController(threadpoolctl.LibController):  # type: ignore[misc]
        """The number of `bpkern.set_num_threads`."""

        user_api = internal_api = "bpkern"
        # Lower case, as threadpoolctl compares it. Other packages may have files of this name.
        filename_prefixes = (os.path.basename(os.path.realpath(_core.__file__)).lower(),)
        check_symbols = ("PyInit__core",)

        def set_additional_attributes(self) -> None:
            self.architecture = _core.isa()
            if not os.path.samefile(self.filepath, _core.__file__):
                self.dynlib = None  # has no symbol: not this library

        def get_version(self) -> str:
            return _core.__version__

        def get_num_threads(self) -> int:
            return _threads.get_num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            _threads.limit_threads(num_threads)

    threadpoolctl.register(BpkernController)


class _Watch:
    """A finder of modules that waits for the import of threadpoolctl, to register then."""

    def __init__(self) -> None:
        self._searching = False  # a finder that this one asks may ask all finders in turn

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """None, except for threadpoolctl: what the other finders find, with a loader that registers."""
        if name != NAME or self._searching:
            return None
        # Finders in the form of Python before 3.4 have no find_spec.
        finds = [getattr(finder, "find_spec", None) for finder in sys.meta_path if finder is not self]
        self._searching = True
        try:
            specs = (find(name, path, target) for find in finds if find is not None)
            spec: Any = next((spec for spec in specs if spec is not None), None)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self)
        return spec


class _Loader:
    """The loader of threadpoolctl, which registers once the module is there, and ends the watch."""

    def __init__(self, loader: Any, watch: _Watch) -> None:
        self._loader, self._watch = loader, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        """As the loader itself."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the loader itself, which is the module's loader from now on."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if self._watch in sys.meta_path:
            sys.meta_path.remove(self._watch)
            register(module)


def register_when_loaded() -> None:
    """Register now if threadpoolctl is loaded, otherwise when it is: importing it takes milliseconds."""
    # Those of an earlier import of bpkern, by name: their class may be another object.
    sys.meta_path[:] = [
        finder
        for finder in sys.meta_path
        if (type(finder).__module__, type(finder).__name__) != (__name__, _Watch.__name__)
    ]
    if NAME in sys.modules:
        register(sys.modules[NAME])
    else:
        sys.meta_path.insert(0, _Watch())
