"""Something callable found by its import path, and another put in its place until the end of the test."""

import importlib
import inspect
import pkgutil
import sys

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from . import choices
from .choices import meant


_MISSING = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An attribute of a module, a class or another object."""

    path: str
    owner: Any
    name: str
    own: object  # what stands in the owner itself; not what it inherits, nor what a descriptor makes of it

    @property
    def found(self) -> object:
        """What stands there, as its owner holds it."""
        return inspect.getattr_static(self.owner, self.name) if inspect.isclass(self.owner) else self.value

    @property
    def value(self) -> Any:
        """What whoever asks the owner for it gets."""
        return getattr(self.owner, self.name)

    def replace(self, other: object) -> Callable[[], None]:
        """Put another in its place; returns how to undo that. Raises UsageError where it cannot be done."""
        try:
            setattr(self.owner, self.name, other)
        except (AttributeError, TypeError) as error:
            advice = "Python's own types cannot be changed: name the place where your code looks it up."
            raise UsageError(f"{self.path} cannot be replaced: {error}.", advice=advice) from None
        return self._restore

    def _restore(self) -> None:
        if self.own is _MISSING:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.own)


def locate(path: str) -> Target:
    """What ``pkg.mod:attr``, or ``pkg.mod.attr``, names. Raises UsageError with what may have been meant."""
    choices.text(path, "path")
    module_name, colon, attributes = path.partition(":")
    if not all(part.isidentifier() for part in path.replace(":", ".", 1).split(".")):
        raise UsageError(
            f"{path!r} is no import path.", advice="It reads pkg.mod:attr, pkg.mod:Class.method or pkg.mod.attr."
        )
    module, names = (_imported(module_name), attributes.split(".")) if colon else _split(path)
    if not names:
        raise UsageError(f"{path!r} is a module.", advice=f"Say what in it: {path}:attr.")
    owner: Any = module
    for name in names[:-1]:
        owner = _attribute(path, owner, name)
    _attribute(path, owner, names[-1])
    own = getattr(owner, "__dict__", {}).get(names[-1], _MISSING)
    return Target(path=path, owner=owner, name=names[-1], own=own)


def _split(path: str) -> tuple[object, list[str]]:
    """The module that a dotted path begins with, the longest that there is, and what follows it."""
    parts = path.split(".")
    module = _imported(parts[0])
    for count in range(2, len(parts) + 1):
        name = ".".join(parts[:count])
        if hasattr(module, parts[count - 1]) and name not in sys.modules:
            return module, parts[count - 1 :]
        if not hasattr(module, "__path__"):
            return module, parts[count - 1 :]
        module = _imported(name)
    return module, []


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(f"The module {name} cannot be imported: {error}.") from error
        raise UsageError(f"There is no module {error.name!r}.{meant(error.name, _modules(error.name))}") from None
    except Exception as error:
        raise UsageError(f"The module {name} cannot be imported: {type(error).__name__}: {error}.") from error


def _modules(name: str) -> list[str]:
    """The modules beside one that is missing."""
    package = name.rpartition(".")[0]
    folders: Iterable[str] | None = getattr(sys.modules.get(package), "__path__", ()) if package else None
    beside = (found.name for found in pkgutil.iter_modules(folders))
    return [*(f"{package}.{found}" if package else found for found in beside), *sys.builtin_module_names]


def _attribute(path: str, owner: object, name: str) -> object:
    found = getattr(owner, name, _MISSING)
    if found is _MISSING:
        where = getattr(owner, "__name__", type(owner).__name__)
        raise UsageError(f"The path {path!r} leads nowhere: {where} has no {name!r}.{meant(name, dir(owner))}")
    return found
