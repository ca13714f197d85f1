"""Rules for failures as users and we write them, in tables of TOML: read, doubted, and held to their own examples."""

import math
import re

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from ..actions import Action
from ..model import Rule


KEYS = (
    *("id", "aliases", "program", "action", "advice", "source", "passive"),
    *("regex", "needle", "above", "unless", "matches", "misses"),
    *("exit", "signal", "errno", "exception"),
)
_BY_TEXT = ("needle", "above", "unless", "matches", "misses")
_KINDS = ("regex", "exit", "signal", "errno", "exception")
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_WORD = re.compile(r"[A-Za-z0-9_.+-]+")
_MOST_STEPS = 2  # repeats on one way through a regex that can be redone: time is at most the square of a line's length
_FEW = 16  # a repeat that is bounded so needs no counting


class RuleError(Exception):
    """A rule that makes no sense: at which key, and why."""

    def __init__(self, key: str, what: str, *, advice: str = "") -> None:
        super().__init__(what)
        self.key = key
        self.what = what
        self.advice = advice


def read(table: object) -> Rule:
    """The rule that a table tells, if its keys and their values have the right form. Raises RuleError."""
    if not isinstance(table, dict):
        raise RuleError("", "a signature must be a table")
    for key in table:
        if key not in KEYS:
            raise RuleError(key, f'unknown key "{key}" in a signature{_meant(str(key), KEYS)}')
    kinds = [kind for kind in _KINDS if kind in table]
    id = _text(table, "id")
    if not _ID.fullmatch(id):
        raise RuleError("id", 'a signature needs an id of small letters, digits and dashes, such as "my-mirror-busy"')
    if len(kinds) != 1:
        said = "nothing says" if not kinds else f"{' and '.join(kinds)} both say"
        raise RuleError(kinds[-1] if kinds else "id", f"{id}: {said} what it matches", advice=_ONE_KIND)
    for key in _BY_TEXT:
        if key in table and kinds != ["regex"]:
            raise RuleError(key, f"{id}: {key} belongs to a regex")
    return Rule(
        id=id,
        aliases=_texts(table, "aliases"),
        programs=_texts(table, "program"),
        action=_action(table, id),
        advice=_text(table, "advice"),
        source=_text(table, "source"),
        passive=_passive(table),
        regex=_text(table, "regex"),
        needles=_texts(table, "needle"),
        above=_texts(table, "above"),
        unless=_texts(table, "unless"),
        matches=_texts(table, "matches"),
        misses=_texts(table, "misses"),
        exits=_exits(table),
        signals=_texts(table, "signal"),
        errnos=_texts(table, "errno"),
        exceptions=_texts(table, "exception"),
    )


_ONE_KIND = "Give exactly one of regex, exit, signal, errno and exception."


# ---------------------------------------------------------------- values


def _meant(word: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(word.lower(), known)
    return f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(known)}"


def _text(table: Mapping[str, object], key: str) -> str:
    found = table.get(key, "")
    if not isinstance(found, str):
        raise RuleError(key, f"{key} must be text")
    return found


def _texts(table: Mapping[str, object], key: str) -> tuple[str, ...]:
    """One text, or a list of them."""
    found = table.get(key, [])
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or not all(isinstance(text, str) and text for text in found):
        raise RuleError(key, f"{key} must be text or a list of text, none of it empty")
    return tuple(found)


def _exits(table: Mapping[str, object]) -> tuple[int, ...]:
    found = table.get("exit", [])
    found = found if isinstance(found, list) else [found]
    if not all(type(code) is int and 1 <= code <= 255 for code in found):
        raise RuleError("exit", "exit must be a whole number from 1 to 255, or a list of them")
    return tuple(found)


def _passive(table: Mapping[str, object]) -> bool:
    found = table.get("passive", False)
    if not isinstance(found, bool):
        raise RuleError("passive", "passive must be true or false")
    return found


def _action(table: Mapping[str, object], id: str) -> Action:
    found = _text(table, "action")
    try:
        return Action(found)
    except ValueError:
        hint = _meant(found, tuple(Action))
        what = f'unknown action "{found}"{hint}' if found else f"action is missing{hint}"
        raise RuleError("action", f"{id}: {what}") from None


# ---------------------------------------------------------------- sense


def doubt(rule: Rule) -> None:
    """Refuse what cannot have been meant, and a regex that may take too long. Raises RuleError."""
    for program in rule.programs:
        if not _WORD.fullmatch(program):
            raise RuleError("program", f'{rule.id}: "{program}" is no name of a program')
    if not rule.advice and rule.action is not Action.IGNORE:
        raise RuleError("advice", f"{rule.id}: advice is missing: what should a person do who reads this?")
    if rule.action is Action.REPAIR and rule.programs != ("git",):
        raise RuleError(
            "action", f'{rule.id}: only git\'s locks are repaired: with program = "git"', advice=_INSTEAD_OF_REPAIR
        )
    if rule.exits and not rule.programs:
        raise RuleError("exit", f"{rule.id}: an exit code means nothing without a program")
    if rule.regex:
        _doubt_text(rule)
    elif not (rule.exits or rule.signals or rule.errnos or rule.exceptions):
        raise RuleError("id", f"{rule.id}: what it matches is empty")


_INSTEAD_OF_REPAIR = "Use no-retry, and say in the advice what mends it."


def _doubt_text(rule: Rule) -> None:
    for key, regex in (("regex", rule.regex), *(("unless", regex) for regex in rule.unless)):
        if why := why_not(regex):
            raise RuleError(key, f"{rule.id}: {key}: {why}")
    if not rule.needles:
        raise RuleError("needle", f"{rule.id}: needle is missing: a piece of text that is in every such line")
    if not rule.matches:
        raise RuleError("matches", f"{rule.id}: matches is missing: at least one line that it must know")


def why_not(regex: str) -> str:
    """Why a regex is not taken, empty if it is: it must compile, and its time must be bounded."""
    try:
        re.compile(regex)
    except (re.error, RecursionError, OverflowError) as error:
        return f"not a regular expression: {error}"
    try:
        steps = _steps(_Reader(regex).branches(), last=True)
    except _Unbounded:
        return f"a group is repeated more than {_FEW} times, which may take for ever; repeat single characters instead"
    if steps > _MOST_STEPS:
        return (
            f"{steps} open repeats follow each other, which takes long on long lines; at most {_MOST_STEPS} may. Write "
            r"[^:]*+ or \S++, which never give back what they took, or leave some out"
        )
    return ""


# ---------------------------------------------------------------- the time that a regex takes


class _Unbounded(Exception):  # noqa: N818  # never leaves this module
    """No bound is known for the time that it takes."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A character, a class or a group, and how often it may stand there."""

    atom: str
    inside: "list[list[_Item]] | None"  # of a group: its alternatives
    most: float
    gives_back: bool  # a repeat that is tried again with less when the rest does not fit


_ATOM = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:P<\w+>|P=\w+|<[=!]|[:=!>]|#[^)]*|[a-zA-Z-]+:?))?|.", re.DOTALL
)
_REPEAT = re.compile(r"(?:(?:([*+])|\?|\{(?=[\d,])(\d*)(?:(,)(\d*))?\})([?+]?))?")  # or none


class _Reader:
    """Reads the repeats of a regex that compiles; what else it says is passed over."""

    def __init__(self, regex: str) -> None:
        self.regex = regex
        self.at = 0

    def branches(self) -> list[list[_Item]]:
        """The alternatives up to the end of the group, or of everything."""
        found: list[list[_Item]] = [[]]
        while self.at < len(self.regex) and self.regex[self.at] != ")":
            if self.regex[self.at] == "|":
                self.at += 1
                found.append([])
            else:
                found[-1].append(self._item())
        self.at += 1  # past the end of the group
        return found

    def _item(self) -> _Item:
        atom = self._take(_ATOM)[0]
        inside = self.branches() if atom.startswith("(") else None
        forever, least, comma, most, manner = self._take(_REPEAT).groups()
        times = math.inf if forever or (comma and not most) else int(most or least or 1)
        return _Item(atom, inside, times, gives_back=manner != "+")

    def _take(self, shape: re.Pattern[str]) -> re.Match[str]:
        found = shape.match(self.regex, self.at)
        assert found is not None  # noqa: S101 - any character is an atom, and a repeat may be none
        self.at = found.end()
        return found


def _steps(branches: list[list[_Item]], *, last: bool) -> int:
    """The most open repeats on one way through; a ``.*`` at the very end is none, for it cannot fail."""
    return max(
        sum(_steps_of(item, last=last and at == len(branch)) for at, item in enumerate(branch, 1))
        for branch in branches
    )


def _steps_of(item: _Item, *, last: bool) -> int:
    if item.inside is None:
        return int(item.most > _FEW and item.gives_back and not (last and item.atom == "."))
    if item.most > _FEW:
        raise _Unbounded
    return int(item.most) * _steps(item.inside, last=last and item.most == 1)
