"""One import of a model library at a time, and no more of it than is used.

diffusers and transformers import lazily and in circles. Two threads that import parts of them at
once meet half-made modules (``ImportError``) or Python's own import deadlock, on every start with
a cold cache of modules. Whoever imports them outside the main thread holds ``library_imports``.

While it is held, two things make the imports shorter and change nothing else:

- The cyclic garbage collector rests: imports make hundreds of thousands of objects that stay, and
  it would look through all of them again and again. After many imports they count as old.
- The initialisers of ``DEFERRED`` packages, each of which imports every module beside the one that
  is wanted, run when somebody first asks the package for a name that is not there yet, not when
  one of its modules is imported. After that the package is what it always was. A package of
  another layout is imported as usual.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import sys
import threading
import types
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

DEFERRED = frozenset(
    {
        "diffusers.models.autoencoders",
        "diffusers.models.transformers",
        "diffusers.models.unets",
        # Of diffusers' schedulers, for solvers and spacings that nobody here asks for.
        "scipy.integrate",
        "scipy.stats",
        "transformers.models",  # reads a line of every model's files
    }
)

_MANY_MODULES = 100
_STATE = "__ourvidz_deferred__"  # in a deferred package's dictionary, until it is initialised


class _LibraryImports:
    """A lock that its owner may take again; see the module."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._was_collecting = False
        self._num_modules = 0

    def __enter__(self) -> Self:
        self._lock.acquire()
        self._depth += 1
        if self._depth == 1:
            install_deferring()
            self._num_modules = len(sys.modules)
            self._was_collecting = gc.isenabled()
            gc.disable()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth == 0 and self._was_collecting:
            if len(sys.modules) - self._num_modules > _MANY_MODULES:
                _make_old()
            gc.enable()
        self._lock.release()


library_imports = _LibraryImports()


def _make_old() -> None:
    """Put every object into the collector's oldest generation, where it is seldom looked at."""
    if gc.get_freeze_count() == 0:  # what somebody else froze stays so
        gc.freeze()
        gc.unfreeze()  # "put them back into the oldest generation" (the gc module's documentation)


def install_deferring() -> None:
    """Let the packages of ``DEFERRED`` that are not imported yet wait; idempotent."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds packages of ``DEFERRED`` where the import system would, and lets them wait."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in DEFERRED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return None
        if not spec.submodule_search_locations:  # a module of its own, which has nothing to spare
            return None
        spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Makes a package whose initialiser is still to run."""

    def __init__(self, loader: importlib.machinery.SourceFileLoader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Package(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        assert module.__spec__ is not None, "the import system sets it"
        # What reads the package's files through its loader shall find the usual one.
        module.__spec__.loader = module.__loader__ = self._loader
        module.__dict__[_STATE] = "waiting"


class _Package(types.ModuleType):
    """A package that runs its initialiser when it is asked for a name that it lacks."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # questions of the import system, inspect
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(_initialised(self, name), name)

    def __dir__(self) -> list[str]:
        return dir(_initialised(self, "__all__"))


def _initialised(package: _Package, name: str) -> types.ModuleType:
    """Run the package's initialiser, and return what is imported under its name then."""
    with library_imports:
        state = package.__dict__.get(_STATE)
        if state == "waiting":
            _initialise(package)
        elif state == "running":  # it asks itself, as circular imports do
            raise AttributeError(f"partially initialized module {package.__name__!r}: {name!r}")
    return sys.modules[package.__name__]


def _initialise(package: _Package) -> None:
    spec = package.__spec__
    assert spec is not None, "it was found"
    assert spec.loader is not None, "so it was deferred"
    package.__dict__[_STATE] = "running"
    try:
        spec.loader.exec_module(package)
    except BaseException:
        package.__dict__[_STATE] = "waiting"  # as an import that failed: the next one tries again
        raise
    del package.__dict__[_STATE]
    there = sys.modules[package.__name__]
    if there is package:
        object.__setattr__(package, "__class__", types.ModuleType)  # an ordinary one from now on
        return
    # The initialiser put a lazy module of the library's in its place, which finds the modules
    # that are imported already by their names.
    parent, _, tail = package.__name__.rpartition(".")
    setattr(sys.modules[parent], tail, there)
