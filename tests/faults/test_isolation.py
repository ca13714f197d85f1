"""Repositories that nothing of the user's reaches, and the environment around them."""

import os
import subprocess

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_orxaq.errors import UsageError
from pytest_orxaq.faults.isolation import EPOCH, TICK, Git


def test_the_same_commits_have_the_same_names(isolated_git: Callable[..., Git]) -> None:
    """Idents and dates are fixed: what is committed alike is alike, and each commit is a minute after the one before."""
    one, two = isolated_git("one", commits=3), isolated_git("two", commits=3)
    assert one("rev-parse", "HEAD").stdout == two("rev-parse", "HEAD").stdout
    times = [int(line) for line in one("log", "--reverse", "--format=%ct").stdout.split()]
    assert times == [EPOCH + TICK, EPOCH + 2 * TICK, EPOCH + 3 * TICK]
    assert one("log", "-1", "--format=%an %ae").stdout == "A Tester tester@example.invalid\n"


def test_what_a_repository_does(isolated_git: Callable[..., Git]) -> None:
    """Files are written and committed, git is run, and its failure has its words."""
    repo = isolated_git()
    assert repo.write("deep/er/file", b"\xff\n").read_bytes() == b"\xff\n"
    commit = repo.commit("with a message", other="text\n")
    assert repo("show", "--format=%s", "--name-only", commit).stdout.split("\n\n") == [
        "with a message",
        "deep/er/file\nother\n",
    ]
    assert repo.dir == repo.common == repo.path / ".git"
    assert os.fspath(repo) == str(repo.path)
    assert repr(repo) == f"Git({str(repo.path)!r})"
    assert repo("rev-parse", "nothing", check=False).returncode == 128
    with pytest.raises(subprocess.CalledProcessError) as refused:
        repo("rev-parse", "nothing")
    assert "unknown revision" in refused.value.__notes__[0]
    with pytest.raises(subprocess.TimeoutExpired):
        repo("-c", "alias.wait=!sleep 60", "wait", timeout=0.1)
    assert repo("-c", "alias.die=!kill -9 $$", "die", check=False).returncode != 0


def test_clones_and_bare_ones(isolated_git: Callable[..., Git]) -> None:
    """A clone has its origin's commits and follows it; a bare one has as many as asked, and no work tree."""
    origin = isolated_git("origin", bare=True, commits=2)
    clone = isolated_git("clone", clone_of=origin)
    clone.commit("pushed", file="new\n")
    clone("push", "-q")
    assert origin.bare
    assert not clone.bare
    assert origin("log", "--format=%s").stdout.split("\n")[:2] == ["pushed", "commit 2"]
    assert (
        isolated_git("mirror", bare=True, clone_of=clone)("rev-parse", "HEAD").stdout
        == origin("rev-parse", "HEAD").stdout
    )
    assert not isolated_git("none", bare=True, commits=0)("show-ref", check=False).stdout
    with pytest.raises(UsageError, match=r"There is a clone already\."):
        isolated_git("clone")


def test_linked_work_trees_and_submodules(isolated_git: Callable[..., Git]) -> None:
    """Both are repositories like the first, and their locks are among its own."""
    repo = isolated_git()
    linked, module = repo.worktree(), repo.submodule()
    assert linked("branch", "--show-current").stdout == "linked\n"
    assert linked.common == module.common.parent.parent == repo.dir
    assert not repo("status", "--short").stdout
    locks = [folder / "index.lock" for folder in (repo.dir, module.dir, linked.dir)]
    for lock in (*locks, repo.dir / "gc.pid"):
        lock.touch()
    assert repo.locks() == tuple(sorted((*locks, repo.dir / "gc.pid")))


STRANGE = {
    "GIT_DIR": "/nowhere",
    "GIT_INDEX_FILE": "/nowhere/index",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "user.name",
    "GIT_CONFIG_VALUE_0": "Somebody",
    "GIT_CONFIG_PARAMETERS": "'user.email'='somebody@example.invalid'",
    "GIT_TRACE": "1",
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_TEMPLATE_DIR": "/nowhere",
}


def test_nothing_of_the_users_reaches_in(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """git's variables, of a hook that runs the tests say, are kept out, in the test's own process too; and put back after."""
    pytester.makepyfile(
        """
        import os, subprocess

        def test_inside(isolated_git, tmp_path):
            repo = isolated_git()
            for env in (repo.env, dict(os.environ)):
                run = lambda *words: subprocess.run(words, cwd=repo.path, env=env, capture_output=True, text=True)
                assert run("git", "rev-parse", "--absolute-git-dir").stdout.strip() == str(repo.dir)
                done = run("git", "commit", "--allow-empty", "-m", "x")
                assert (done.returncode, done.stderr) == (0, "")
                assert run("git", "log", "-1", "--format=%an %ae").stdout == "A Tester tester@example.invalid\\n"
                assert run("git", "config", "gc.auto").stdout == "0\\n"
                origins = run("git", "config", "--list", "--show-origin").stdout.splitlines()
                assert {line.split()[0] for line in origins} == {f"file:{env['HOME']}/.gitconfig", "file:.git/config"}
                assert env["HOME"].startswith(str(tmp_path))
            assert not (repo.dir / "hooks").exists()

        def test_no_repository_further_up(isolated_git, tmp_path, request):
            subprocess.run(["git", "init", "-q", str(tmp_path.parent)], check=True)
            isolated_git()
            assert subprocess.run(["git", "rev-parse"], cwd=tmp_path, capture_output=True).returncode == 128

        def test_outside():
            assert os.environ["GIT_DIR"] == "/nowhere"
            assert os.environ["GIT_AUTHOR_NAME"] == "Somebody"
            assert "GIT_TERMINAL_PROMPT" not in os.environ
        """
    )
    for name, value in STRANGE.items():
        monkeypatch.setenv(name, value)
    # The inner `git init` of the second test is no business of the strange variables'.
    pytester.runpytest_inprocess("-k", "not further_up", "-p", "no:randomly").assert_outcomes(passed=2, deselected=1)
    for name in STRANGE:
        monkeypatch.delenv(name)
    pytester.runpytest_inprocess("-k", "further_up").assert_outcomes(passed=1, deselected=2)


def test_home_may_be_missing(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without HOME there is one all the same, and none again afterwards."""
    pytester.makepyfile(
        """
        import os

        def test_inside(isolated_git):
            assert isolated_git().env["HOME"] == os.environ["HOME"]

        def test_outside():
            assert "HOME" not in os.environ
        """
    )
    monkeypatch.delenv("HOME")
    pytester.runpytest_inprocess("-p", "no:randomly").assert_outcomes(passed=2)


def test_where_git_was_installed_may_be_said(isolated_git: Callable[..., Git], tmp_path: Path) -> None:
    """GIT_EXEC_PATH tells git where its parts are: with the rest of git's variables it would be lost."""
    from pytest_orxaq.faults.isolation import Isolation

    isolation = Isolation(tmp_path / "other")
    assert isolated_git().env.keys() >= {"PATH", "HOME"}
    assert isolation.scrubbed({"GIT_EXEC_PATH": "/x", "GIT_SSH": "y", "PATH": "z"}) == {"GIT_SSH"}
