"""What a Makefile's recipe lets make know: a failure that cannot reach make makes exit code 0 say nothing.

Advice, not a parser of make or of the shell: wherever the text is not plain (loops, conditions, functions, included
files), nothing is said.
"""

import re
import shlex

from collections.abc import Iterator


# Their failure is nobody's concern, or shows in what comes after.
_HARMLESS = frozenset(
    [
        ":",
        "[",
        "[[",
        "cd",
        "clear",
        "command",
        "date",
        "echo",
        "env",
        "exit",
        "export",
        "mkdir",
        "printf",
        "pwd",
        "rm",
        "set",
        "sleep",
        "source",
        "test",
        "touch",
        "true",
        "type",
        "umask",
        "unset",
        "which",
        ".",
    ]
)
_UNCLEAR = re.compile(r"\b(if|for|while|until|case|do|then|function)\b|[`(){}]|<<")
_PIPEFAIL = re.compile(r"(^|[;&\s])set\s+(-\w+\s+)*-\w*o\s+pipefail|pipefail")
_ERREXIT = re.compile(r"(^|[;&]\s*)set\s+-[a-z]*e")
_SEPARATORS = {"|", "|&", ";", "||", "&", "&&"}


def recipe(makefile: str, target: str) -> tuple[str, ...]:
    """The recipe of an explicit rule for *target*, continued lines joined; empty where there is none."""
    lines = iter(makefile.replace("\\\n", " ").splitlines())
    rule = re.compile(rf"(?:[^\s:#=]+\s+)*{re.escape(target)}(?:\s+[^\s:#=]+)*\s*::?(?![=:])(?P<rest>.*)")
    for line in lines:
        if found := rule.fullmatch(line):
            commands = [found["rest"].partition(";")[2].strip()] if ";" in found["rest"] else []
            commands += _indented(lines)
            if any(commands):
                return tuple(command for command in commands if command)
    return ()


def masked(makefile: str, target: str) -> str:
    """Why the exit code of *target*'s recipe says nothing, or nothing."""
    flags = "".join(re.findall(r"^\s*\.SHELLFLAGS\s*[:+?]?=(.*)$", makefile, re.MULTILINE))
    for line in recipe(makefile, target):
        if why := _masked_line(line, pipefail="pipefail" in flags, errexit=bool(re.search(r"-\w*e", flags))):
            return why
    return ""


def _indented(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith("\t"):
            yield line.strip()
        elif line.strip() and not line.lstrip().startswith("#"):
            return


def _masked_line(line: str, *, pipefail: bool, errexit: bool) -> str:
    prefix = re.match(r"[@+\-\s]*", line)
    command = line[prefix.end() :] if prefix else line
    if prefix and "-" in prefix[0] and _program(command.split()) not in _HARMLESS:
        return f"`-{command}`: the dash makes make ignore its failure"
    plain = re.sub(r"\$[({][\w.-]+[)}]", "VARIABLE", command)  # $(PYTHON) is a word like any other
    if _UNCLEAR.search(plain):
        return ""
    pipefail = pipefail or bool(_PIPEFAIL.search(plain))
    errexit = errexit or bool(_ERREXIT.search(plain))
    return _lost(_pieces(plain), pipefail=pipefail, errexit=errexit, shown=command)


def _lost(pieces: list[tuple[list[str], str]], *, pipefail: bool, errexit: bool, shown: str) -> str:
    """The first command whose failure the separator after it swallows."""
    for at, (words, separator) in enumerate(pieces):
        program = _program(words)
        following = _program(pieces[at + 1][0]) if at + 1 < len(pieces) else ""
        swallowed = (
            (separator in {"|", "|&"} and not pipefail)
            or (separator == ";" and not errexit and bool(following))
            or (separator == "||" and following in {"true", ":", "echo", "printf"})
            or separator == "&"
        )
        if swallowed and program and program not in _HARMLESS:
            return f"`{shown}`: the exit code of `{program}` is lost"
    return ""


def _pieces(command: str) -> list[tuple[list[str], str]]:
    """Simple commands as words, each with the separator after it; none where the quoting is not plain."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=";|&")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    pieces: list[tuple[list[str], str]] = []
    words: list[str] = []
    try:
        for token in lexer:
            if token in _SEPARATORS:
                pieces.append((words, token))
                words = []
            else:
                words.append(token)
    except ValueError:  # an open quote
        return []
    return [*pieces, (words, "")]


def _program(words: list[str]) -> str:
    """The program of a simple command, assignments before it left out."""
    names = [word.lstrip("@-+") for word in words if not re.match(r"\w+=", word)]
    return names[0] if names else ""
