"""Sort data.txt into report.txt and commit that, with nobody watching. The clone is the bot's own."""

import os
import subprocess
import sys

from pathlib import Path

from pytest_orxaq import Retry, deadline


os.environ["LC_ALL"] = "C"  # git's words are looked at


class GitError(RuntimeError):
    """What git said."""


def locked(error: Exception) -> bool:
    """Whether git met a lock. After the start, it is one of a git that is at work: it will be gone."""
    return isinstance(error, GitError) and ".lock'" in str(error)


@Retry(attempts=8, base=0.5, backoff="equal", on=locked)
def git(*words: str) -> str:
    done = subprocess.run(["git", *words], check=False, capture_output=True, text=True, timeout=deadline.remaining())
    if done.returncode:
        raise GitError(f"git {' '.join(words)}: {done.stderr or done.stdout}")
    return done.stdout


def recover() -> None:
    """Take away what a git has left that was killed. Whatever a living one holds stays, and is waited for."""
    command = [sys.executable, "-m", "pytest_orxaq", "locks", "--recover", "--assume-exclusive"]
    subprocess.run(command, check=False, timeout=deadline.remaining())


def write(path: Path, text: str) -> None:
    """All of it, or nothing: who reads never sees a half."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


with deadline(120):
    recover()
    lines = Path("data.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    write(Path("report.txt"), "".join(sorted(lines)))
    git("add", "report.txt")
    if git("diff", "--cached", "--name-only"):
        git("commit", "-q", "-m", "Update the report")
