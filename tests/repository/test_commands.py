"""Asking git: hardened, and honest about why there is no answer."""

import os

from pathlib import Path

import pytest

from pytest_orxaq.errors import MachineError, RepositoryError
from pytest_orxaq.repository.commands import git


def test_git_answers(tmp_path: Path) -> None:
    """An answer has git's exit code and words; a failing command is an answer too."""
    assert git(tmp_path, "version").out.startswith(b"git version")
    failed = git(tmp_path, "no-such-command")
    assert failed.code == 1
    assert b"is not a git command" in failed.err


def test_input_reaches_git(tmp_path: Path) -> None:
    """What is handed in arrives on git's standard input."""
    assert git(tmp_path, "hash-object", "--stdin", input=b"").out == b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\n"


def test_the_repository_of_a_calling_hook_is_forgotten(tmp_path: Path) -> None:
    """Variables that git hands to hooks do not tie our git to the hook's repository."""
    environment = {
        **os.environ,
        "GIT_DIR": str(tmp_path / "elsewhere"),
        "GIT_CEILING_DIRECTORIES": str(tmp_path.parent),
    }
    assert b"elsewhere" not in git(tmp_path, "rev-parse", "--git-dir", environment=environment).err


def test_words_are_english(tmp_path: Path) -> None:
    """Messages can be read whatever language the user has set."""
    environment = {**os.environ, "LANG": "de_DE.UTF-8", "LANGUAGE": "de", "LC_ALL": "de_DE.UTF-8"}
    environment["GIT_CEILING_DIRECTORIES"] = str(tmp_path.parent)
    assert b"not a git repository" in git(tmp_path, "status", environment=environment).err


def test_git_takes_no_optional_lock(tmp_path: Path) -> None:
    """No lock is taken only to refresh something."""
    answer = git(tmp_path, "-c", "alias.show-it=!echo $GIT_OPTIONAL_LOCKS$GIT_TERMINAL_PROMPT", "show-it")
    assert answer.out == b"00\n"


def test_no_git(tmp_path: Path) -> None:
    """A machine without git is the machine's fault, and says so."""
    # The search for the program goes through the PATH that the command is given.
    with pytest.raises(MachineError, match="git cannot be started") as caught:
        git(tmp_path, "version", environment={"PATH": str(tmp_path)})
    assert "PATH" in caught.value.advice


def test_no_such_folder(tmp_path: Path) -> None:
    """A folder that is not there is the user's mistake, not a missing git."""
    with pytest.raises(RepositoryError, match="is not a folder"):
        git(tmp_path / "missing", "version")
