"""The environment of a command, and what is handed down in it."""

import subprocess

import pytest

from hypothesis import given
from hypothesis import strategies as some

from pytest_orxaq.core.environment import (
    GIT_LOCAL,
    allow_listed,
    for_command,
    is_within,
    read_deadline,
    reduced,
    spell_deadline,
    within,
    without_git_locals,
)


def test_git_tells_of_no_other_local_variable() -> None:
    """Every variable that this git calls local is one that we know."""
    told = subprocess.run(
        ("git", "rev-parse", "--local-env-vars"), check=True, capture_output=True, text=True, timeout=60
    )
    assert set(told.stdout.split()) <= GIT_LOCAL


@pytest.mark.parametrize(
    "name",
    [
        *sorted(GIT_LOCAL),
        "GIT_CONFIG_KEY_0",
        "GIT_CONFIG_VALUE_17",
        "GNUMAKEFLAGS",
        "MAKEFILES",
        "MAKEFLAGS",
        "MAKELEVEL",
        "MAKEOVERRIDES",
        "MAKE_TERMERR",
        "MAKE_TERMOUT",
        "MFLAGS",
        "PYTEST_ADDOPTS",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
        "PYTEST_PLUGINS",
        "SSH_ASKPASS",
    ],
)
def test_what_would_mislead_is_taken_out(name: str) -> None:
    """No command gets a variable that ties git elsewhere, makes make lie, or changes pytest behind its back."""
    assert name not in for_command({name: "x", "HOME": "/home"}, tty=False)[0]


def test_the_rest_stays() -> None:
    """What is none of our business is handed on unchanged."""
    given = {"HOME": "/home", "PATH": "/bin", "GIT_AUTHOR_NAME": "A", "DISPLAY": ":0", "VIRTUAL_ENV": "/v"}
    environment, notes = for_command(given, tty=False)
    assert environment.items() >= given.items()
    assert notes == ()


def test_nobody_is_asked() -> None:
    """Whoever would ask, page, or open an editor is told that nobody answers."""
    environment, _ = for_command({"GIT_ASKPASS": "/usr/bin/window", "EDITOR": "vi", "CI": "false"}, tty=True)
    assert environment["GIT_ASKPASS"] == "true"
    assert environment["GIT_TERMINAL_PROMPT"] == "0"
    assert environment["EDITOR"] == "true"
    assert environment["CI"] == "1"
    assert environment["LANGUAGE"] == "en"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "ssh -oBatchMode=yes"),
        ({"GIT_SSH_COMMAND": "ssh -i key"}, "ssh -i key"),
        ({"GIT_SSH": "/usr/bin/plink"}, None),
    ],
)
def test_a_way_to_ssh_is_kept(given: dict[str, str], expected: str | None) -> None:
    """SSH asks nothing, unless the user has a way of their own to it."""
    assert for_command(given, tty=False)[0].get("GIT_SSH_COMMAND") == expected


def test_colours() -> None:
    """Colours are left to a terminal, taken off elsewhere, and forced by who asks for that."""
    assert for_command({"TERM": "xterm"}, tty=True)[0]["TERM"] == "xterm"
    assert "NO_COLOR" not in for_command({}, tty=True)[0]
    plain, _ = for_command({"TERM": "xterm"}, tty=False)
    assert (plain["TERM"], plain["NO_COLOR"]) == ("dumb", "1")
    assert "NO_COLOR" not in for_command({"FORCE_COLOR": "1"}, tty=False)[0]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/lib/git:/bin:/sbin", "/bin:/sbin"),
        ("/bin:/lib/git", "/bin:/lib/git"),
        ("/lib/git", "/lib/git"),
        (":/bin", ":/bin"),
    ],
)
def test_the_folder_that_git_puts_before_path(path: str, expected: str) -> None:
    """In a hook the search path is the one that it would be by hand."""
    assert without_git_locals({"PATH": path, "GIT_EXEC_PATH": "/lib/git"})["PATH"] == expected
    assert without_git_locals({"PATH": path})["PATH"] == path


def test_what_was_set_on_purpose_is_told() -> None:
    """Options that the command does not get are told with their value, but git's by name only."""
    notes = for_command(
        {
            "PYTEST_ADDOPTS": " -x\n",
            "MAKEFLAGS": "i",
            "MAKEFILES": " ",
            "MAKELEVEL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_VALUE_0": "Authorization: secret",
            "GIT_CONFIG_PARAMETERS": "'user.name=A'",
        },
        tty=False,
    )[1]
    assert notes == (
        "MAKEFLAGS was set to 'i'; the command does not get it",
        "PYTEST_ADDOPTS was set to '-x'; the command does not get it",
        "GIT_CONFIG_COUNT was set; the command does not get it",
        "GIT_CONFIG_PARAMETERS was set; the command does not get it",
    )
    assert for_command({"GIT_CONFIG_COUNT": " 0 ", "GIT_CONFIG_PARAMETERS": ""}, tty=False)[1] == ()


def test_what_is_shown() -> None:
    """What changes results is shown by name, in order; nothing that could be a secret is."""
    given = {"PYTHONPATH": "p", "LC_ALL": "C", "PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "s", "HOME": "/h", "LCX": "x"}
    assert allow_listed(given) == (("LC_ALL", "C"), ("PATH", "/bin"), ("PYTHONPATH", "p"))


NAMES = some.text(min_size=1) | some.sampled_from(["PATH", "GIT_EXEC_PATH", "MAKEFLAGS", "PYTEST_ADDOPTS", "GIT_DIR"])


@given(some.dictionaries(NAMES, some.text()), some.booleans())
def test_scrubbing_twice_is_scrubbing_once(environ: dict[str, str], tty: bool) -> None:
    """A gate within a gate changes nothing more, and takes nothing out that is worth a word."""
    once = for_command(environ, tty=tty)[0]
    # A search path that began twice with git's folder loses it twice.
    if once.get("PATH", "").partition(":")[0] != once.get("GIT_EXEC_PATH"):
        assert for_command(once, tty=tty) == (once, ())


@given(some.floats(0, 1e11), some.uuids().map(str))
def test_a_deadline_is_handed_down(at: float, boot: str) -> None:
    """A moment survives the environment, to the millisecond, within one boot."""
    found = read_deadline(spell_deadline(at, boot), boot)
    assert found == pytest.approx(at, abs=0.001)
    assert read_deadline(spell_deadline(at, boot), f"{boot}x") is None


@pytest.mark.parametrize("text", ["", "5", "5.000", "5.000@", "x@b", "-5.000@b", "nan@b", "5.000@b\n", "5.0@b"])
def test_a_deadline_that_is_none(text: str) -> None:
    """Garbage is no deadline."""
    assert read_deadline(text, "b") is None
    assert read_deadline(text, "") is None


def test_a_gate_below_itself_is_recognised() -> None:
    """A checkpoint knows the checkpoints around it, by name and place, however deep."""
    spelled = within(within("", "test", "/a"), "lint", "/b c")
    assert is_within(spelled, "test", "/a")
    assert is_within(spelled, "lint", "/b c")
    assert not is_within(spelled, "lint", "/a")
    assert not is_within("", "", "")
    assert within("", "test", "/a") == "test@/a"


def test_less_parallelism() -> None:
    """What bounds parallel work is halved, from what was given or else from the number of CPUs, and is never nothing."""
    unset = reduced({}, 8)
    assert unset["ORXAQ_REDUCED"] == "1"
    assert unset["PYTEST_XDIST_AUTO_NUM_WORKERS"] == unset["CARGO_BUILD_JOBS"] == unset["GOMAXPROCS"] == "4"
    assert set(reduced({}, 1).values()) == {"1"}
    given = reduced({"GOMAXPROCS": "6", "CARGO_BUILD_JOBS": "-2", "RUST_TEST_THREADS": "9" * 9}, 4)
    assert (given["GOMAXPROCS"], given["CARGO_BUILD_JOBS"], given["RUST_TEST_THREADS"]) == ("3", "2", "2")


def test_less_parallelism_where_the_default_is_none() -> None:
    """Variables without which the work is done one by one are halved only where they are set."""
    assert "CMAKE_BUILD_PARALLEL_LEVEL" not in reduced({}, 8)
    assert reduced({"CMAKE_BUILD_PARALLEL_LEVEL": "6"}, 8)["CMAKE_BUILD_PARALLEL_LEVEL"] == "3"
