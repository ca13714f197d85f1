"""The environment that a command is given, the part of it that is shown, and the deadline handed down in it."""

import re

from collections.abc import Mapping


# `git rev-parse --local-env-vars` of git 2.39 to 2.52. A hook inherits them, and every git below it would then
# work on the repository of the hook instead of the one that it stands in.
GIT_LOCAL = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)

# `MAKEFLAGS=i` ignores every failing recipe, `n` runs none, a file in MAKEFILES may replace the shell by `true`.
_MAKE = frozenset(
    {
        "GNUMAKEFLAGS",
        "MAKEFILES",
        "MAKEFLAGS",
        "MAKELEVEL",
        "MAKEOVERRIDES",
        "MAKE_TERMERR",
        "MAKE_TERMOUT",
        "MFLAGS",
    }
)
_PYTEST = frozenset({"PYTEST_ADDOPTS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS"})

# What somebody set on purpose, and will miss.
_WORTH_KNOWING = _PYTEST | {"GNUMAKEFLAGS", "MAKEFILES", "MAKEFLAGS", "MAKEOVERRIDES"}

# Nobody answers: whoever asks must fail at once. GIT_TERMINAL_PROMPT alone is not enough, a helper still asks.
_NOBODY_ANSWERS = {
    "CI": "1",
    "DEBIAN_FRONTEND": "noninteractive",
    "EDITOR": "true",
    "GCM_INTERACTIVE": "never",
    "GIT_ASKPASS": "true",
    "GIT_EDITOR": ":",
    "GIT_PAGER": "cat",
    "GIT_SEQUENCE_EDITOR": ":",
    "GIT_TERMINAL_PROMPT": "0",
    "HOMEBREW_NO_AUTO_UPDATE": "1",
    "LANGUAGE": "en",  # make's and git's words are read
    "MANPAGER": "cat",
    "PAGER": "cat",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PYTHONUNBUFFERED": "1",
    "SSH_ASKPASS_REQUIRE": "never",
    "npm_config_fund": "false",
    "npm_config_yes": "true",
}

# Shown in reports and part of pass keys: what is known to change results, and what never holds a secret.
_SHOWN = frozenset(
    [
        "PATH",
        "LANG",
        "TZ",
        "SHELL",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "CONDA_DEFAULT_ENV",
        "PYENV_VERSION",
        "UV_PYTHON",
        "TOXENV",
        "NODE_ENV",
        "JAVA_HOME",
        "CC",
        "CXX",
        "CPP",
        "LD",
        "AR",
        "CFLAGS",
        "CPPFLAGS",
        "CXXFLAGS",
        "LDFLAGS",
        "PKG_CONFIG_PATH",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "DYLD_LIBRARY_PATH",
        "GOFLAGS",
        "GOOS",
        "GOARCH",
        "GOTOOLCHAIN",
        "CGO_ENABLED",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "CARGO_BUILD_TARGET",
        "RAILS_ENV",
        "RACK_ENV",
        "DJANGO_SETTINGS_MODULE",
        "SOURCE_DATE_EPOCH",
        "HYPOTHESIS_PROFILE",
    ]
)
_SHOWN_PREFIXES = ("LC_", "PYTHON")

_RETRIES = re.compile(r"([0-9]{1,6}):(.+)")
_DEADLINE = re.compile(r"([0-9]{1,12}\.[0-9]{3})@(.+)")


def without_git_locals(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what ties git to the repository of a calling hook."""
    # GIT_CONFIG_KEY_<n> and GIT_CONFIG_VALUE_<n> mean nothing without the count, and may hold credentials.
    numbered = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")
    kept = {name: value for name, value in environ.items() if name not in GIT_LOCAL and not name.startswith(numbered)}
    # git puts its own folder in front of a hook's PATH; the same command by hand would have another PATH.
    first, separator, rest = kept.get("PATH", "").partition(":")
    if separator and first and first == kept.get("GIT_EXEC_PATH"):
        kept["PATH"] = rest
    return kept


def for_command(environ: Mapping[str, str], *, tty: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    """The environment for a command that nobody watches, and sentences about what was taken out of it."""
    scrubbed = without_git_locals(environ)
    for name in _MAKE | _PYTEST | {"SSH_ASKPASS"}:
        scrubbed.pop(name, None)
    scrubbed |= _NOBODY_ANSWERS
    if "GIT_SSH_COMMAND" not in scrubbed and "GIT_SSH" not in scrubbed:
        scrubbed["GIT_SSH_COMMAND"] = "ssh -oBatchMode=yes"
    if not tty:
        scrubbed["TERM"] = "dumb"
        if "FORCE_COLOR" not in scrubbed:
            scrubbed["NO_COLOR"] = "1"
    return scrubbed, _notes(environ)


def allow_listed(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The variables that are shown and that decide whether a stored pass counts, by name."""
    return tuple(sorted(pair for pair in environ.items() if pair[0] in _SHOWN or pair[0].startswith(_SHOWN_PREFIXES)))


# What bounds the work at once where nothing else is said, by the tools' own documentation; each defaults to all CPUs.
_BOUNDS = (
    "CARGO_BUILD_JOBS",
    "GOMAXPROCS",
    "PYTEST_XDIST_AUTO_NUM_WORKERS",  # of `pytest -n auto`; a number given to -n stands
    "RUST_TEST_THREADS",
    "UV_CONCURRENT_BUILDS",
)
# The same, but without them the work is done one by one: set, they would make it more.
_BOUNDS_IF_SET = ("CMAKE_BUILD_PARALLEL_LEVEL", "CTEST_PARALLEL_LEVEL")


def reduced(given: Mapping[str, str], cpus: int) -> dict[str, str]:
    """Variables that halve how much a command does at once, and ORXAQ_REDUCED=1 for what it has to do itself."""
    names = (*_BOUNDS, *(name for name in _BOUNDS_IF_SET if given.get(name, "")))
    return {"ORXAQ_REDUCED": "1", **{name: str(max(1, _number(given.get(name, ""), cpus) // 2)) for name in names}}


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else otherwise


def spell_deadline(at: float, boot: str) -> str:
    """A moment on CLOCK_MONOTONIC of the boot named ``boot``, for ORXAQ_DEADLINE."""
    return f"{at:.3f}@{boot}"


def read_deadline(text: str, boot: str) -> float | None:
    """The moment that ORXAQ_DEADLINE names, or None if it is none of this boot."""
    # CLOCK_MONOTONIC starts anew with every boot: a moment of another machine or boot means nothing here.
    found = _DEADLINE.fullmatch(text)
    return float(found[1]) if found is not None and found[2] == boot else None


def hand_retries(outer: str, limit: int, path: str) -> str:
    """ORXAQ_RETRIES for a command: the budgets around it and one more, a line each, the outermost first."""
    return outer if "\n" in path else f"{outer}\n{limit}:{path}".lstrip("\n")


def read_retries(text: str) -> tuple[tuple[int, str], ...]:
    """Each budget that ORXAQ_RETRIES names: how many retries it holds, and the file in which they are counted."""
    found = (_RETRIES.fullmatch(line) for line in text.split("\n"))
    return tuple((int(line[1]), line[2]) for line in found if line is not None)


def _notes(environ: Mapping[str, str]) -> tuple[str, ...]:
    told = [
        f"{name} was set to {environ[name].strip()!r}; the command does not get it"
        for name in sorted(_WORTH_KNOWING & environ.keys())
        if environ[name].strip()
    ]
    # The values of git's configuration are not told: a header with a token is a usual one.
    told += [
        f"{name} was set; the command does not get it"
        for name in ("GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS")
        if environ.get(name, "").strip(" 0")
    ]
    return tuple(told)


def within(outer: str, checkpoint: str, top: str) -> str:
    """ORXAQ_WITHIN for a checkpoint's command: the checkpoints around it, a line each."""
    return f"{outer}\n{checkpoint}@{top}".lstrip("\n")


def is_within(spelled: str, checkpoint: str, top: str) -> bool:
    """Whether the caller stands below that very checkpoint."""
    return f"{checkpoint}@{top}" in spelled.split("\n")
