"""A record as plain data, for JSON."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum

from ..core.escaping import surrogates_replaced
from ..model import Exit, RunRecord


SCHEMA = 1

Data = str | int | float | bool | None | list["Data"] | dict[str, "Data"]

_LEFT_OUT = {(Exit, "marks")}  # a measure of our own working: thousands of pairs, of no use to a reader


def to_data(value: object) -> Data:
    """Dataclasses as dictionaries, enumerations by value, sequences as lists."""
    if isinstance(value, Enum):
        return to_data(value.value)
    if isinstance(value, str):
        return surrogates_replaced(value)  # JSON that is not UTF-8 is no JSON
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None  # JSON has no infinity
    if is_dataclass(value):
        kept = [field.name for field in fields(value) if (type(value), field.name) not in _LEFT_OUT]
        return {name: to_data(getattr(value, name)) for name in kept}
    if isinstance(value, Mapping):
        return {surrogates_replaced(str(key)): to_data(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_data(part) for part in value]
    if isinstance(value, frozenset):
        return [to_data(part) for part in sorted(value)]
    raise TypeError(f"no data form for {type(value).__name__}")


def of_run(record: RunRecord) -> dict[str, Data]:
    """A run record with the version of its form."""
    data = to_data(record)
    assert isinstance(data, dict)  # noqa: S101 - a dataclass makes a dictionary
    return {"schema": SCHEMA, **data}
