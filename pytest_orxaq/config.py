"""The configuration: ``[tool.orxaq]`` in pyproject.toml, else orxaq.toml, at the repository's top."""

import re
import stat
import tomllib

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from .core.durations import parse
from .errors import ConfigError
from .model import Checkpoint, EvidenceKind, ReleasePolicy, Rule, Settings


GATE_KEYS = (
    *("deadline", "checkpoints", "deep", "first-delay", "longest-delay", "retry-budget"),
    *("templates", "locks", "checkpoint", "signature"),
)
LOCK_KEYS = ("release", "min-age", "exclusive")
CHECKPOINT_KEYS = ("command", "timeout", "evidence", "junit", "retries", "environment", "key-environment")
MOST_RETRIES = 100
LARGEST_BUDGET = 1000

_EVIDENCE = {"test": EvidenceKind.TESTS, "lint": EvidenceKind.FINDINGS}
# Not with a dash or a dot in front: a name is an argument of make, and the name of a folder.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def load(top: Path, environ: Mapping[str, str]) -> Settings:
    """The settings in force in the repository at ``top``. Raises ConfigError with file, line and advice."""
    chosen = environ.get("ORXAQ_CHECKPOINTS", "")
    return _Reader(_settings_file(top)).settings(override=_chosen(chosen) if chosen.strip() else None)


# ---------------------------------------------------------------- files


class _File:
    """A settings file that was read: what it says, and where each key stands."""

    def __init__(self, name: str, text: str, prefix: tuple[str, ...]) -> None:
        self.name = name
        self.text = text
        self.prefix = prefix  # of our table
        try:
            self.content: object = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{name}:{_line_of_error(error, text)}: not valid TOML: {error}") from error
        except RecursionError as error:
            raise ConfigError(f"{name}: nested too deeply") from error

    @property
    def table(self) -> object:
        """Our table, None if there is none."""
        found = self.content
        for number, key in enumerate(self.prefix):
            if found is None:
                return None
            if not isinstance(found, dict):
                self.refuse(self.prefix[:number], f"[{'.'.join(self.prefix[:number])}] must be a table")
            found = found.get(key)
        return found

    def refuse(self, path: tuple[str, ...], what: str, *, advice: str = "", since: int = 1) -> NoReturn:
        """Raise, with the line at which ``path`` stands, from the line ``since`` on."""
        raise ConfigError(f"{self.name}:{_line_of(self.text, path, since)}: {what}", advice=advice)

    def line_of_table(self, path: tuple[str, ...], number: int) -> int:
        """The line of one of several headers ``[[path]]``; 1 if it is written in another form."""
        lines = [line for line, statement in _statements(self.text) if statement == [path]]
        return lines[number] if number < len(lines) else 1


def _settings_file(top: Path) -> _File | None:
    """The one file with settings."""
    texts = {name: _read(top / name) for name in ("pyproject.toml", "orxaq.toml")}
    project = own = None
    if (text := texts["pyproject.toml"]) is not None:
        project = _File("pyproject.toml", text, ("tool", "orxaq"))
    if (text := texts["orxaq.toml"]) is not None:
        own = _File("orxaq.toml", text, ())
    if project is None or project.table is None:
        return own
    if own is not None and own.table:
        line = _line_of(project.text, project.prefix)
        raise ConfigError(
            f"pyproject.toml:{line}: there are settings in [tool.orxaq] and in orxaq.toml too",
            advice="Keep one of the two.",
        )
    return project


def _read(path: Path) -> str | None:
    try:
        # Checked first, because a named pipe would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path.name} is not a file")
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}") from error
    if data.startswith(b"\xef\xbb\xbf"):
        raise ConfigError(
            f"{path.name}:1: begins with a byte order mark, which TOML does not allow",
            advice="Save it as UTF-8 without a byte order mark.",
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path.name}:{line}: not UTF-8", advice="Save it as UTF-8.") from error


# ---------------------------------------------------------------- lines


def _line_of_error(error: tomllib.TOMLDecodeError, text: str) -> int:
    found = re.search(r"at line (\d+)", str(error))
    return int(found[1]) if found else text.count("\n") + 1  # "at end of document"


def _line_of(text: str, path: tuple[str, ...], since: int = 1) -> int:
    """The line at which a key stands, or what comes nearest above it."""
    best, best_length = since, 0
    for line, statement in _statements(text):
        if line < since:
            continue
        # Of equally good places the first: a table opens above its keys.
        common = max((_shared(path, place) for place in statement), default=0)
        if common > best_length:
            best, best_length = line, common
    return best


def _shared(path: tuple[str, ...], place: tuple[str, ...]) -> int:
    """How much of ``path`` a place is; nothing if the place is beyond or beside it."""
    return len(place) if path[: len(place)] == place else 0


def _statements(text: str) -> Iterator[tuple[int, list[tuple[str, ...]]]]:
    """Each statement's first line and the keys that it sets, of a text that is known to be valid."""
    header: tuple[str, ...] = ()
    start, gathered = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        gathered += f"{line}\n"
        try:
            # The parser itself says whether a statement is complete: no second grammar to keep right.
            content = tomllib.loads(gathered)
        except tomllib.TOMLDecodeError:
            continue
        if gathered.lstrip().startswith("["):
            header = max(_paths(content), key=len)
            yield start, [header]
        else:
            yield start, [header + path for path in _paths(content)]
        start, gathered = number + 1, ""


def _paths(content: object) -> list[tuple[str, ...]]:
    """The path of every key, however deep."""
    if isinstance(content, list):
        return [path for part in content for path in _paths(part)]
    if not isinstance(content, dict):
        return []
    return [(key, *path) for key, value in content.items() for path in [(), *_paths(value)]]


# ---------------------------------------------------------------- meaning


class _Reader:
    """Turns a table into settings, and refuses what makes no sense."""

    def __init__(self, file: _File | None) -> None:
        self.file = file if file is not None and file.table is not None else _File("defaults", "", ())
        self.prefix = self.file.prefix

    def settings(self, *, override: tuple[str, ...] | None) -> Settings:
        """The settings; ``override`` names other checkpoints than the file does."""
        table = self.table((), GATE_KEYS)
        usual = self.names(table, "checkpoints", ("lint", "test"))
        deep = self.names(table, "deep", ())
        if "checkpoints" in table and not usual:
            self.refuse(("checkpoints",), "checkpoints is empty: nothing would be checked")
        for name in deep:
            if name in usual:
                self.refuse(("deep",), f'"{name}" is in checkpoints and in deep: it would run twice')
        chosen = usual if override is None else override
        locks = self.table(("locks",), LOCK_KEYS)
        settings = Settings(
            deadline=self.positive(table, (), "deadline", Settings().deadline),
            checkpoints=chosen,
            deep=tuple(name for name in deep if name not in chosen),
            table=self.checkpoints(table, (*chosen, *usual, *deep)),
            first_delay=self.duration(table, (), "first-delay", Settings().first_delay),
            longest_delay=self.duration(table, (), "longest-delay", Settings().longest_delay),
            retry_budget=self.whole(table, (), "retry-budget", Settings().retry_budget, LARGEST_BUDGET),
            origin=self.file.name if self.file.text else "defaults",
            templates=self.folder(table, "templates"),
            lock_release=self.release(locks),
            lock_min_age=self.duration(locks, ("locks",), "min-age", Settings().lock_min_age),
            lock_exclusive=self.exclusive(locks),
            signatures=self.signatures(table),
        )
        if settings.first_delay > settings.longest_delay:
            self.refuse(("first-delay",), "first-delay is longer than longest-delay")
        return settings

    def checkpoints(self, table: dict[str, Any], named: tuple[str, ...]) -> tuple[Checkpoint, ...]:
        """Every checkpoint that is named or configured, each once."""
        configured = table.get("checkpoint", {})
        if not isinstance(configured, dict):
            self.refuse(("checkpoint",), "checkpoint must be a table of tables")
        return tuple(self.checkpoint(name) for name in dict.fromkeys((*named, *configured)))

    def checkpoint(self, name: str) -> Checkpoint:
        """One checkpoint."""
        path = ("checkpoint", name)
        if _NAME.fullmatch(name) is None:
            self.refuse(path, f"{_shown(name)} cannot be the name of a checkpoint", advice=_NAME_ADVICE)
        table = self.table(path, CHECKPOINT_KEYS)
        timeout = self.positive(table, path, "timeout", 0.0) if "timeout" in table else None
        return Checkpoint(
            name=name,
            command=self.command(table, path, name),
            evidence=self.evidence(table, path, name),
            timeout=timeout,
            junit=self.globs(table, path),
            retries=self.whole(table, path, "retries", 2, MOST_RETRIES),
            environment=self.environment(table, path),
            key_environment=self.variables(table, path),
        )

    def signatures(self, table: dict[str, Any]) -> tuple[Rule, ...]:
        """Rules of the user's own, each held to its examples."""
        found = table.get("signature", [])
        if not isinstance(found, list):
            self.refuse(("signature",), "signature must be a list of tables", advice="Write [[ ]] around its name.")
        rules = tuple(self.signature(each, number) for number, each in enumerate(found))
        for number, rule in enumerate(rules):
            if rule.id in {other.id for other in rules[:number]}:
                self.refuse_signature(number, "id", f'there are two signatures with the id "{rule.id}"')
        return rules

    def signature(self, table: object, number: int) -> Rule:
        """One rule."""
        from .core import rulebook, signatures  # noqa: PLC0415 - few configurations have any

        try:
            rule = rulebook.read(table)
            rulebook.doubt(rule)
        except rulebook.RuleError as error:
            self.refuse_signature(number, error.key, error.what, advice=error.advice)
        for text in rule.matches:
            if not signatures.applies(rule, text):
                what = f"{rule.id}: matches: it does not know {_shown(text)}"
                self.refuse_signature(number, "matches", what, advice=_MATCHES_ADVICE)
        for text in rule.misses:
            if signatures.applies(rule, text):
                self.refuse_signature(number, "misses", f"{rule.id}: misses: it knows {_shown(text)}")
        return rule

    def refuse_signature(self, number: int, key: str, what: str, *, advice: str = "") -> NoReturn:
        path = (*self.prefix, "signature")
        self.file.refuse((*path, key), what, advice=advice, since=self.file.line_of_table(path, number))

    # ---- tables and keys

    def table(self, path: tuple[str, ...], known: tuple[str, ...]) -> dict[str, Any]:
        """The table at a path, empty if it is not there; with no key but the known ones."""
        found: Any = self.file.table
        for key in path:
            found = found.get(key, {})
        if not isinstance(found, dict):
            self.refuse(path, f"{self.spelled(path)} must be a table")
        for key in found:
            if key not in known:
                self.refuse((*path, key), f"unknown key {_shown(key)} in {self.spelled(path)}{self.meant(key, known)}")
        return found

    def meant(self, key: str, known: tuple[str, ...]) -> str:
        """What was likely meant."""
        if key == "tool" and not self.prefix:
            return "; in orxaq.toml the settings stand at the top, without [tool.orxaq]"
        near = get_close_matches(key.lower().replace("_", "-"), known, n=1)
        return f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(known)}"

    def spelled(self, path: tuple[str, ...]) -> str:
        """A table as its header is written."""
        whole = (*self.prefix, *path)
        return f"[{'.'.join(whole)}]" if whole else "the settings"

    def refuse(self, path: tuple[str, ...], what: str, *, advice: str = "") -> NoReturn:
        self.file.refuse((*self.prefix, *path), what, advice=advice)

    def texts(self, table: dict[str, Any], path: tuple[str, ...], key: str) -> tuple[str, ...]:
        """A list of text, none of it empty."""
        found = table.get(key, [])
        if not isinstance(found, list) or not all(
            isinstance(text, str) and text and "\0" not in text for text in found
        ):
            self.refuse((*path, key), f"{key} must be a list of text, none of it empty")
        return tuple(found)

    # ---- values

    def folder(self, table: dict[str, Any], key: str) -> str:
        """A folder's path below the top, empty if none is named."""
        found = table.get(key, "")
        if not isinstance(found, str) or found.startswith("/") or ".." in found.split("/"):
            self.refuse((key,), f"{key} must be a folder's path below the repository's top")
        return found

    def names(self, table: dict[str, Any], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Names of checkpoints."""
        if key not in table:
            return default
        names = self.texts(table, (), key)
        for name in names:
            if _NAME.fullmatch(name) is None:
                self.refuse((key,), f"{_shown(name)} cannot be the name of a checkpoint", advice=_NAME_ADVICE)
            if names.count(name) > 1:
                self.refuse((key,), f'"{name}" is in {key} more than once')
        return names

    def duration(self, table: dict[str, Any], path: tuple[str, ...], key: str, default: float) -> float:
        """Seconds."""
        if key not in table:
            return default
        try:
            return parse(table[key])
        except ValueError as error:
            self.refuse((*path, key), f"{key}: {error}")

    def positive(self, table: dict[str, Any], path: tuple[str, ...], key: str, default: float) -> float:
        """Seconds, more than none."""
        found = self.duration(table, path, key, default)
        if found <= 0:
            self.refuse((*path, key), f"{key} must be longer than nothing")
        return found

    def command(self, table: dict[str, Any], path: tuple[str, ...], name: str) -> tuple[str, ...]:
        """A program and its arguments."""
        found = table.get("command", ["make", name])
        if isinstance(found, str):
            found = self.split(found, path)
        if not isinstance(found, list) or not all(isinstance(part, str) and "\0" not in part for part in found):
            self.refuse((*path, "command"), "command must be a list of text, or text")
        if not found or not found[0]:
            self.refuse((*path, "command"), "command is empty: nothing would run")
        return tuple(found)

    def split(self, command: str, path: tuple[str, ...]) -> list[str]:
        """Words as a shell makes them; there is no shell, so nothing is expanded."""
        import shlex  # noqa: PLC0415 - costs a start-up's time, and lists are the usual form

        try:
            return shlex.split(command)
        except ValueError as error:
            self.refuse((*path, "command"), f"command: {str(error).lower()}")

    def release(self, table: dict[str, Any]) -> ReleasePolicy:
        """Which stale git locks may be taken away."""
        found = table.get("release", Settings().lock_release)
        policies = tuple(ReleasePolicy)
        if found not in policies:
            self.refuse(("locks", "release"), f"unknown release {_shown(found)}{self.meant(str(found), policies)}")
        return ReleasePolicy(found)

    def exclusive(self, table: dict[str, Any]) -> bool:
        """Whether nobody else is declared to work in the repository."""
        found = table.get("exclusive", Settings().lock_exclusive)
        if not isinstance(found, bool):
            self.refuse(("locks", "exclusive"), "exclusive must be true or false")
        return found

    def evidence(self, table: dict[str, Any], path: tuple[str, ...], name: str) -> EvidenceKind:
        """What must be there before exit code 0 is believed."""
        if "evidence" not in table:
            return _EVIDENCE.get(name, EvidenceKind.EXIT)
        kinds = tuple(EvidenceKind)
        if table["evidence"] not in kinds:
            hint = self.meant(str(table["evidence"]), kinds)
            self.refuse((*path, "evidence"), f"unknown evidence {_shown(table['evidence'])}{hint}")
        return EvidenceKind(table["evidence"])

    def globs(self, table: dict[str, Any], path: tuple[str, ...]) -> tuple[str, ...]:
        """Patterns of paths inside the work tree."""
        found = self.texts(table, path, "junit")
        for pattern in found:
            if pattern.startswith("/") or ".." in pattern.split("/"):
                self.refuse((*path, "junit"), f"junit: {_shown(pattern)} leads out of the work tree")
        return found

    def whole(self, table: dict[str, Any], path: tuple[str, ...], key: str, default: int, most: int) -> int:
        """A whole number, 0 or more."""
        found = table.get(key, default)
        if type(found) is not int or not 0 <= found <= most:
            self.refuse((*path, key), f"{key} must be a whole number from 0 to {most}")
        return found

    def environment(self, table: dict[str, Any], path: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        """Variables to set."""
        found = table.get("environment", {})
        if not isinstance(found, dict):
            self.refuse((*path, "environment"), "environment must be a table")
        for name, value in found.items():
            self.variable((*path, "environment", name), name)
            if not isinstance(value, str) or "\0" in value:
                self.refuse((*path, "environment", name), f'{name} must be text, such as "1"')
        return tuple(found.items())

    def variables(self, table: dict[str, Any], path: tuple[str, ...]) -> tuple[str, ...]:
        """Names of variables."""
        found = self.texts(table, path, "key-environment")
        for name in found:
            self.variable((*path, "key-environment"), name)
        return found

    def variable(self, path: tuple[str, ...], name: str) -> None:
        if _VARIABLE.fullmatch(name) is None:
            self.refuse(path, f"{_shown(name)} cannot be the name of a variable")
        if name.startswith("ORXAQ_"):
            self.refuse(path, f"{name} is the gate's own")


_MATCHES_ADVICE = "The regex must fit the whole line, without the blanks around it; a needle must be in it, and what stands above too."
_NAME_ADVICE = "Use letters, digits, underscore, dot and dash, and begin with none of the last two."


def _chosen(names: str) -> tuple[str, ...]:
    """The checkpoints that ORXAQ_CHECKPOINTS names."""
    chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    for name in chosen:
        if _NAME.fullmatch(name) is None:
            raise ConfigError(
                f"ORXAQ_CHECKPOINTS: {_shown(name)} cannot be the name of a checkpoint", advice=_NAME_ADVICE
            )
    if not chosen:
        raise ConfigError(f"ORXAQ_CHECKPOINTS: {_shown(names)} names no checkpoint")
    return chosen


def _shown(value: object) -> str:
    """A value from the file, in double quotes; line breaks and control characters are escaped."""
    text = str(value)
    return f'"{text if text.isprintable() else text.encode("unicode_escape").decode()}"'
