"""What linters and type checkers said: findings with a place, and their closing words.

Nearly all of them print ``path:line:column: text`` or ``path:line: text``; ruff and rustc put the place below
the message. Much else looks like a place (times, hosts with ports, log lines), so a path must look like one.
"""

import re

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from ..model import Finding


_LONGEST_LINE = 2000

_NAMES_WITHOUT_SUFFIX = frozenset(
    {"Makefile", "makefile", "GNUmakefile", "Dockerfile", "Containerfile", "Jenkinsfile", "Vagrantfile", "Rakefile"}
    | {"Gemfile", "Procfile", "Justfile", "justfile", "BUILD", "WORKSPACE", "configure"}
)
# A host with a port looks like a file with a line; these suffixes are no source files.
_DOMAINS = frozenset({"com", "org", "net", "edu", "gov", "local", "localhost", "internal", "lan", "localdomain"})

_SEVERITIES = {
    **dict.fromkeys(("error", "fatal error", "fatal", "syntax error"), "error"),
    **dict.fromkeys(("warning", "style", "convention", "refactor"), "warning"),
    **dict.fromkeys(("note", "info", "information", "hint", "remark", "help"), "note"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinterWord:
    """The closing words of a linter: whether it found everything in order."""

    tool: str
    clean: bool
    line: str


def findings(text: str, *, limit: int = 1000) -> tuple[Finding, ...]:
    """The first findings in an output, as many as asked for; those of severity ``note`` accuse nobody."""
    found: list[Finding] = []
    above = ""
    for line in _lines(text):
        finding = _placed(line) or _arrowed(line, above)
        above = line
        if finding:
            found.append(finding)
            if len(found) >= limit:
                break
    return tuple(found)


def linter_words(text: str) -> tuple[LinterWord, ...]:
    """The closing words of known linters, in order of appearance."""
    words: list[LinterWord] = []
    for line in _lines(text):
        if not line.startswith(_WORD_STARTS):
            continue
        for tool, clean, pattern in _WORDS:
            if match := _shape(pattern).fullmatch(line):
                words.append(LinterWord(tool=tool, clean=_clean(match) if clean is None else clean, line=line))
                break
    return tuple(words)


@cache
def _shape(pattern: str) -> re.Pattern[str]:
    # Compiled at first use: most starts of the program read no output at all.
    return re.compile(pattern)


def _lines(text: str) -> Iterator[str]:
    """Lines without colours, apart from those that are longer than any finding."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if end - start <= _LONGEST_LINE:
            line = text[start:end].rstrip()
            if "\x1b" in line:
                line = _shape(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\([A-Z0-9])").sub("", line)
                line = _shape(r"\x1b\]8;[^\x07\x1b]*(?:\x07|\x1b\\)").sub("", line)  # a terminal's hyperlink
            yield line
        start = end + 1


# ---------------------------------------------------------------- findings


def _placed(line: str) -> Finding | None:
    """``path:line:column: text`` and ``path:line: text``."""
    match = _shape(
        r"((?:[A-Za-z]:[\\/])?[^:]{1,500}):(\d{1,7})(?::(\d{1,7}))?(?::\d{1,7}:\d{1,7})?: +(\S.*)"
    ).fullmatch(line)
    if not match:
        return None
    path, number, column, said = match.groups()
    severity, code, message = _read(said)
    if not _is_path(path, marked=bool(severity or code)) or (int(number) == 0 and column is None):
        return None
    return Finding(
        path=path,
        line=int(number),
        column=None if column is None else int(column),
        code=code,
        message=message,
        severity=severity or "error",
    )


def _is_path(path: str, *, marked: bool) -> bool:
    """Whether this can be a source file: it has a suffix or a known name; one with blanks needs more proof."""
    if path != path.strip() or path.startswith(("In file included from", "from ", "File ", "at ")):
        return False
    name = re.split(r"[\\/]", path)[-1]
    suffix = name.rpartition(".")[2] if "." in name else ""
    known = name in _NAMES_WITHOUT_SUFFIX or _shape(r"[A-Za-z][A-Za-z0-9_+-]{0,15}").fullmatch(suffix)
    # A script without suffix is believed with a folder before it.
    if not known and (suffix or not marked or "/" not in path):
        return False
    if suffix.lower() in _DOMAINS or not _shape(r"[^\s\"'<>|*?()=,;]+").fullmatch(path.replace(" ", "")):
        return False
    return " " not in path or (marked and path[0] not in "[(0123456789")


def _read(said: str) -> tuple[str, str, str]:
    """Severity, code and message, the first two empty where the text has none."""
    severity, code = "", ""
    if match := _shape(r"\[?(fatal error|syntax error|[a-z]+)\]?(?:\[([\w:.-]+)\])?(?::|(?<=\])) +(.*)").fullmatch(
        said
    ):
        severity = _SEVERITIES.get(match[1], "")
        if severity:
            code, said = match[2] or "", match[3]
    if not severity and _shape(r"\w*Warning: .*").fullmatch(said):
        return "note", "", said  # Python's own warnings, on their way past
    if not code and (
        match := _shape(r"([A-Z]{1,10}\d{2,5}|invalid-syntax)(?::| \[\*\]|(?= )):? *(.*)").fullmatch(said)
    ):
        code, said = match[1], match[2]
    elif not code and (match := _shape(r"(.*\S) +[\[(]([A-Za-z@][\w@/=+.,-]{1,80})[\])]").fullmatch(said)):
        code, said = _coded(match)
        if code.startswith(("Error/", "Warning/")):  # eslint's unix format
            word, _, code = code.partition("/")
            severity = severity or word.lower()
    return severity, code, said


def _coded(match: re.Match[str]) -> tuple[str, str]:
    """A trailing ``[code]`` or ``(code)``; a word in round brackets is one only with a hyphen in it."""
    if match[0].endswith(")") and "-" not in match[2]:
        return "", match[0]
    return match[2], match[1]


def _arrowed(line: str, above: str) -> Finding | None:
    """`` --> path:line:column`` below ``F401 [*] message`` (ruff) or ``error[E0425]: message`` (rustc)."""
    match = _shape(r" *--> (\S.*):(\d{1,7}):(\d{1,7})").fullmatch(line)
    head = match and (
        _shape(r"(?P<code>[A-Z]{1,10}\d{2,5})(?: \[\*\])? +(?P<said>\S.*)").fullmatch(above)
        or _shape(r"(?P<code>[a-z]+(?:-[a-z]+)*)(?:\[(?P<inner>[\w:-]+)\]| \[\*\])?: (?P<said>\S.*)").fullmatch(above)
    )
    if not match or not head:
        return None
    said = head.groupdict()
    severity = _SEVERITIES.get(said["code"], "")
    return Finding(
        path=match[1],
        line=int(match[2]),
        column=int(match[3]),
        code=(said.get("inner") or "") if severity else said["code"],
        message=said["said"],
        severity=severity or "error",
    )


# ---------------------------------------------------------------- closing words


# Tool, whether the words are good news (None: the first number decides), the whole line.
_WORDS: tuple[tuple[str, bool | None, str], ...] = (
    ("ruff", True, r"All checks passed!"),
    ("mypy", True, r"Success: no issues found in \d+ source files?"),
    (
        "mypy",
        False,
        r"Found \d+ errors? in \d+ files? \((?:checked \d+ source files?|errors prevented further checking)\)",
    ),
    ("ruff", None, r"Found \d+ errors? \(\d+ fixed, (\d+) remaining\)\."),
    ("ruff", True, r"Found \d+ errors? \(\d+ fixed\)\."),
    ("ruff", False, r"Found \d+ errors?\."),
    (
        "ruff format",
        False,
        r"\d+ files? would be reformatted(?:, \d+ files? (?:already formatted|would be left unchanged))?\.?",
    ),
    ("ruff format", False, r"[Ww]ould reformat:? \S.*"),
    ("ruff format", True, r"\d+ files? already formatted"),
    ("ruff format", True, r"\d+ files? (?:would be )?left unchanged\.?"),
    ("ruff format", True, r"\d+ files? reformatted(?:, \d+ files? left unchanged)?\.?"),
    ("black", True, r"All done! ✨ 🍰 ✨"),
    ("black", False, r"Oh no! 💥 💔 💥"),
    ("isort", False, r"ERROR: \S.* Imports are incorrectly sorted and/or formatted\."),
    ("pylint", False, r"Your code has been rated at -?(?!10\.00)\d+\.\d\d/10(?: \(previous run: .*)?"),
    ("pylint", True, r"Your code has been rated at 10\.00/10(?: \(previous run: .*)?"),
    ("eslint", None, r"✖ \d+ problems? \((\d+) errors?, \d+ warnings?\)"),
    ("pyright", None, r"(\d+) errors?, \d+ warnings?, \d+ (?:informations?|notes?) *"),
    ("prettier", True, r"All matched files use Prettier code style!"),
    ("prettier", False, r"\[warn\] Code style issues found in .* Run Prettier with --write to fix\."),
    ("golangci-lint", None, r"(\d+) issues[.:]"),
)

_WORD_STARTS = (
    *"0123456789✖",
    *("All ", "Success:", "Found ", "Would ", "would ", "Oh no!", "ERROR:", "Your code", "[warn] Code"),
)


def _clean(match: re.Match[str]) -> bool:
    return int(match[1]) == 0
