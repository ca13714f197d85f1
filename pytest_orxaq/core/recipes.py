"""What a Makefile's recipe lets make know: a failure that cannot reach make makes exit code 0 say nothing.

Advice, not a parser of make or of the shell: wherever the text is not plain (loops, conditions, functions, included
files), nothing is said, and a word about the wrong command would be worse than none.
"""

import re
import shlex

from collections.abc import Iterator
from dataclasses import dataclass


# Their failure is nobody's concern, or shows in what comes after.
_HARMLESS = frozenset(
    {":", ".", "[", "[[", "cd", "clear", "command", "date", "echo", "exit", "export", "hash", "local"}
    | {"mkdir", "popd", "printf", "pushd", "pwd", "read", "set", "sleep", "source", "test", "touch", "true"}
    | {"type", "ulimit", "umask", "unset", "wait", "which"}
    # that make lists for the next program of a pipe
    | {"awk", "cat", "cut", "egrep", "fgrep", "find", "git", "grep", "head", "ls", "sed", "seq", "sort"}
    | {"tail", "tr", "uniq", "wc", "yes"}
    # and that tidy or prepare
    | {"apt-get", "brew", "chmod", "chown", "cp", "createdb", "curl", "docker", "docker-compose", "dropdb"}
    | {"install", "kill", "killall", "ln", "mv", "open", "pip", "pip3", "pkill", "podman", "rm", "rmdir"}
    | {"tar", "unlink", "wget"}
)
_ALWAYS_TRUE = frozenset({"true", ":", "echo", "printf"})
_WRAPPERS = frozenset({"!", "env", "exec", "nice", "nohup", "sudo", "time"})
_UNCLEAR = re.compile(r"\b(?:if|for|while|until|case|do|then|function|trap)\b|[`(){}]|<<|\$\?")
_PIPEFAIL = re.compile(r"\bset\s(?:[^;&|]*\s)?-\w*o\s+pipefail\b")
_ERREXIT = re.compile(r"\bset\s(?:[^;&|]*\s)?(?:-[a-zA-Z]*e[a-zA-Z]*\b|-o\s+errexit\b)")
_REDIRECTION = re.compile(r"\d*[<>]&[\d-]*|&>>?|>\|")
_VARIABLE = re.compile(r"\$[({](\w[\w.-]*)[)}]")
_SETTING = re.compile(r"\s*(?:(?:export|override|private)\s+)*[\w.-]+\s*(?:[:+?!]|::|:::)?=")
_SEPARATORS = frozenset({"|", "|&", ";", "||", "&", "&&"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A simple command: its program, and what stands between it and the next."""

    program: str
    words: tuple[str, ...]
    separator: str

    @property
    def harmless(self) -> bool:
        if self.program == "go":  # it lists packages for other programs, or checks them
            return self.words[1:2] == ("list",)
        return self.program in _HARMLESS or not self.program


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shell:
    """What the shell that runs a recipe lets through."""

    pipefail: bool
    errexit: bool


def recipe(makefile: str, target: str) -> tuple[str, ...]:
    """The recipe of an explicit rule for *target*, continued lines joined; empty where there is none."""
    lines = re.sub(r"[ \t]*\\\n[ \t]*", " ", makefile).splitlines()
    rule = re.compile(rf"(?:[^\s:#=]+\s+)*{re.escape(target)}(?:\s+[^\s:#=]+)*\s*::?(?![=:])(?P<rest>.*)")
    for at, line in enumerate(lines):
        found = rule.fullmatch(line) if target in line else None
        if found and not _SETTING.match(found["rest"]):
            inline = found["rest"].partition("#")[0].partition(";")[2].strip()
            if commands := [command for command in (inline, *_indented(lines[at + 1 :])) if command]:
                return tuple(commands)
    return ()


def masked(makefile: str, target: str) -> str:
    """The first command of *target*'s recipe whose failure cannot reach make, in a sentence; empty if none is seen."""
    flags = " ".join(re.findall(r"^(?:\.SHELLFLAGS|SHELL)\s*[:+?]*=(.*)$", makefile, re.MULTILINE))
    errexit = bool(re.search(r"(?:^|\s)-[a-z]*e", flags)) or bool(re.search(r"^\.POSIX\s*:", makefile, re.MULTILINE))
    shell = _Shell(pipefail="pipefail" in flags, errexit=errexit)
    lines = recipe(makefile, target)
    if re.search(r"^\.ONESHELL\s*:", makefile, re.MULTILINE):
        lines = (" ; ".join(line.lstrip("@+- ") if at else line for at, line in enumerate(lines)),)
    return next((why for line in lines if (why := _masked_line(line, shell))), "")


def _indented(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith("\t"):
            yield line.strip()
        elif line.strip() and not line.lstrip().startswith("#"):
            return


def _masked_line(line: str, shell: _Shell) -> str:
    command = line.lstrip("@+- \t")
    prefix = line[: len(line) - len(command)]
    plain = _VARIABLE.sub(lambda match: match[1].lower(), command)
    pieces = _pieces(_REDIRECTION.sub(" ", plain))
    if "-" in prefix and pieces and not pieces[0].harmless:
        return f"`-{command}`: the dash makes make ignore its failure"
    if _UNCLEAR.search(plain):
        return ""
    shell = _Shell(
        pipefail=shell.pipefail or bool(_PIPEFAIL.search(plain)),
        errexit=shell.errexit or bool(_ERREXIT.search(plain)),
    )
    lost = _lost(pieces, shell)
    return f"`{command}`: the exit code of `{lost}` is lost" if lost else ""


def _lost(pieces: list[_Piece], shell: _Shell) -> str:
    """The first program whose failure something after it swallows."""
    chain: list[_Piece] = []  # commands of which one that fails ends the list, so that the next separator decides
    for at, piece in enumerate(pieces):
        chain.append(piece)
        culprit = next((one for one in chain if not one.harmless), None)
        if culprit and _swallows(piece.separator, pieces[at + 1 :], shell):
            return culprit.program
        if piece.separator not in {"&&", "|", "|&"}:
            chain = []
    return ""


def _swallows(separator: str, rest: list[_Piece], shell: _Shell) -> bool:
    """Whether the failure of what stands before this separator is forgotten."""
    if separator in {"|", "|&"}:
        return not shell.pipefail
    if separator == ";":
        return not shell.errexit and any(piece.program for piece in rest)
    if separator == "&":  # a server for the tests behind it is no loss, but a check that nobody waits for is
        return all(piece.harmless or piece.separator == "&" for piece in rest)
    return separator == "||" and _true_to_the_end(rest)


def _true_to_the_end(rest: list[_Piece]) -> bool:
    """Whether the list that begins here cannot fail."""
    end = next(at for at, piece in enumerate(rest) if piece.separator not in {"&&", "||"})
    return all(piece.program in _ALWAYS_TRUE or piece.words[:2] == ("exit", "0") for piece in rest[: end + 1])


def _pieces(command: str) -> list[_Piece]:
    """Simple commands; none where the quoting is not plain."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=";|&")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    pieces: list[_Piece] = []
    words: list[str] = []
    try:
        for token in lexer:
            if token in _SEPARATORS:
                pieces.append(_piece(words, token))
                words = []
            else:
                words.append(token)
    except ValueError:  # an open quote
        return []
    return [*pieces, _piece(words, "")]


def _piece(words: list[str], separator: str) -> _Piece:
    """Assignments and wrappers before the program are left out, the folder that it is in, and Python before a module."""
    at = 0
    while at < len(words) and (words[at] in _WRAPPERS or re.match(r"\w+=", words[at])):
        at += 1
    if words[at + 1 : at + 2] == ["-m"] and "python" in words[at]:
        at += 2
    program = words[at].rpartition("/")[2] if at < len(words) else ""
    return _Piece(program=program, words=tuple(words[at:]), separator=separator)
