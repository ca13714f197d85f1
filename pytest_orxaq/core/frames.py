"""Find the places in a traceback, whoever wrote it."""

import re

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One place in a traceback."""

    path: str
    line: int
    function: str = ""


# Python's own form. pytest marks it with "E" where the text of a SyntaxError tells its place; any other "E" line is
# the message, in which a whole foreign traceback may be quoted.
_PYTHON = re.compile(r'(?P<error>E?)\s*File "(?P<path>[^"\n]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
# pytest's long and short forms, and those of most compilers: path:line: or path:line:column:
_PYTEST = re.compile(
    r"(?P<path>(?:[A-Za-z]:[\\/])?[^\s:<>\"'|][^:<>\"'|\n]*\.\w{1,8}):(?P<line>\d+):(?:\d+:?)?(?: in (?P<function>\S+)| .*)?$"
)
_JVM = re.compile(r"\s*at (?P<function>[\w.$<>/@ ]+)\((?P<path>[\w.$-]+\.\w+):(?P<line>\d+)\)")
_JS = re.compile(r"\s*at (?:(?P<function>[^\n()]+?) \()?(?:file://)?(?P<path>[^\s()][^()\n]*?):(?P<line>\d+):\d+\)?$")
_GO = re.compile(r"\s+(?P<path>\S+\.go):(?P<line>\d+)(?: \+0x[0-9a-f]+)?$")
_DEFINITION = re.compile(r"[> ]?\s*(?:async )?def (?P<function>\w+)")
_LONGEST_LINE = 1000  # no frame is that long, and hostile text must not cost time

_FOREIGN = re.compile(
    r"(?:^|/)(?:site-packages|dist-packages|node_modules|\.venv|\.tox|\.nox|lib/python\d[\w.]*)/|^<|^node:|^internal/"
)


def frames(traceback: str) -> tuple[Frame, ...]:
    """The places in a traceback, outermost first."""
    falling: list[Frame] = []  # printed outermost first: Python
    rising: list[Frame] = []  # printed innermost first: JVM, JavaScript, Go
    definition = ""
    for line in traceback.splitlines():
        if len(line) > _LONGEST_LINE:
            continue
        quoted = line.startswith("E ")  # pytest's mark for the message
        if match := _PYTHON.match(line) or (None if quoted else _PYTEST.match(line)):
            groups = match.groupdict()
            if groups.get("error") and groups["function"]:
                continue
            falling.append(_frame(match, groups["function"] or definition))
            definition = ""
        elif match := _JVM.match(line) or _JS.match(line) or _GO.match(line):
            rising.append(_frame(match, match.groupdict().get("function") or ""))
        elif not definition and (match := _DEFINITION.match(line)):
            definition = match["function"]
    # A place printed in Python's way next to many of the other kind is the message's, so the others lie deeper.
    return (*falling, *reversed(rising))


def _frame(match: re.Match[str], function: str) -> Frame:
    # More than nine digits are no line number, and int() refuses thousands of them.
    return Frame(path=match["path"], line=int(match["line"][:9]), function=function.strip())


def foreign(path: str) -> bool:
    """Whether the path belongs to the language or to an installed package, as far as its name says."""
    return bool(_FOREIGN.search(path.replace("\\", "/")))


def innermost_own(places: Iterable[Frame], known: Callable[[str], bool]) -> Frame | None:
    """The deepest place in the repository's own code; `known` says whether a path is the repository's."""
    own = [place for place in places if not foreign(place.path) and known(place.path)]
    return own[-1] if own else None
