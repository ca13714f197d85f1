"""The words as plain data and back: what run records and passes are written as.

Reading is lenient where that is safe (keys of a later version are passed over, absent ones take their
default) and strict where it is not (a value of the wrong type raises ``ValueError``).
"""

import types
import typing

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from math import isfinite
from typing import Any, TypeVar

from ..model import RunRecord


T = TypeVar("T")

SCHEMA = 1  # of everything written; a reader sets aside what is later

# Lines up output with its readers while an attempt is judged: thousands of pairs, of no use later.
_LEFT_OUT = frozenset({"marks"})


def to_data(value: object, *, exact: bool = False) -> Any:
    """*value* as dictionaries, lists, strings, numbers, booleans and None: all of it what JSON in UTF-8 can say.

    What is no text (a path may be none) is escaped, unless it has to be read back *exact*: then it stays as
    :func:`os.fsdecode` made it, which JSON in ASCII can say too.
    """
    spelled = str if exact else _spelled
    if is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in fields(value) if field.name not in _LEFT_OUT)
        return {name: to_data(getattr(value, name), exact=exact) for name in names}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {spelled(str(key)): to_data(item, exact=exact) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(to_data(item, exact=exact) for item in value)
    if isinstance(value, (tuple, list)):
        return [to_data(item, exact=exact) for item in value]
    if isinstance(value, str):
        return spelled(value)
    if isinstance(value, float):
        return value if isfinite(value) else None  # JSON has no infinity
    if value is None or isinstance(value, int):
        return value
    raise TypeError(f"no data form for {type(value).__name__}")


def _spelled(text: str) -> str:
    """*text* with bytes that are no text (of a path, of an environment) as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def of_run(record: RunRecord) -> dict[str, Any]:
    """A run as it is handed to other programs: with the version of its form."""
    return {"schema": SCHEMA, **to_data(record)}


def from_data(wanted: type[T], data: object) -> T:
    """*data* as a *wanted* dataclass; ``ValueError`` with the place where it is not one."""
    return typing.cast("T", _read(wanted, data, wanted.__name__))


def _read(wanted: Any, data: object, place: str) -> object:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in {types.UnionType, typing.Union}:
        return None if data is None else _read(next(a for a in arguments if a is not type(None)), data, place)
    if origin is tuple:
        return _read_tuple(arguments, data, place)
    if origin is frozenset:
        return frozenset(_read(arguments[0], item, place) for item in _typed(data, list, place))
    if origin is not None and issubclass(origin, Mapping):
        return {key: _read(arguments[1], item, f"{place}.{key}") for key, item in _typed(data, dict, place).items()}
    if is_dataclass(wanted):
        return _read_dataclass(wanted, _typed(data, dict, place), place)
    if issubclass(wanted, Enum):
        return _read_enum(wanted, data, place)
    if wanted is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    return _typed(data, wanted, place)


def _read_tuple(arguments: tuple[Any, ...], data: object, place: str) -> tuple[object, ...]:
    items = _typed(data, list, place)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_read(arguments[0], item, f"{place}[{at}]") for at, item in enumerate(items))
    if len(items) != len(arguments):
        message = f"{place}: {len(arguments)} items expected, {len(items)} found"
        raise ValueError(message)
    return tuple(_read(argument, item, place) for argument, item in zip(arguments, items, strict=True))


def _read_dataclass(wanted: Any, data: dict[str, object], place: str) -> object:
    kinds = _kinds(wanted)
    values = {name: _read(kind, data[name], f"{place}.{name}") for name, kind in kinds.items() if name in data}
    required = {f.name for f in fields(wanted) if f.default is MISSING and f.default_factory is MISSING}
    if absent := sorted(required - values.keys()):
        message = f"{place}: {absent[0]} is missing"
        raise ValueError(message)
    return wanted(**values)


def _read_enum(wanted: type[Enum], data: object, place: str) -> Enum:
    try:
        return wanted(data)
    except ValueError:
        message = f"{place}: {data!r} is no {wanted.__name__}"
        raise ValueError(message) from None


@cache
def _kinds(wanted: Any) -> dict[str, Any]:
    return {name: kind for name, kind in typing.get_type_hints(wanted).items() if name not in _LEFT_OUT}


def _typed(data: object, kind: Any, place: str) -> Any:
    # True is an int in Python, but never where a number is meant here.
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        message = f"{place}: {kind.__name__} expected, {type(data).__name__} found"
        raise ValueError(message)
    return data
