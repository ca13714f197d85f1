"""Write VERSION, tag it and push both, with nobody watching: release.py VERSION.

The clone is the script's own. What the remote has is what counts: a tag that is there is never moved, and one that is not
is made anew. Commit and tag arrive together or not at all.
"""

import os
import re
import subprocess
import sys

from pathlib import Path

from pytest_orxaq import Retry, deadline


PASSES = re.compile(
    r"returned error: (429|5\d\d)|hung up|RPC failed|[Cc]ould not resolve|timed out|too slow|reset by peer"
    r"|fetch first|non-fast-forward|cannot lock ref|\.lock'"
)

# Git's words are looked at; nobody is there to be asked; a remote that says nothing is given up, by git itself.
os.environ |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
os.environ |= {"GIT_HTTP_LOW_SPEED_LIMIT": "1", "GIT_HTTP_LOW_SPEED_TIME": os.environ.get("PATIENCE", "30")}


class GitError(RuntimeError):
    """What git said."""


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], check=False, capture_output=True, text=True, timeout=deadline.remaining())
    if done.returncode:
        raise GitError(f"git {' '.join(words)}: {done.stderr or done.stdout}")
    return done.stdout


def passes(error: Exception) -> bool:
    """Whether it is worth another attempt; a refusal by a rule of the remote is not."""
    return isinstance(error, GitError) and PASSES.search(str(error)) is not None


def recover() -> None:
    """Take away what a git has left that was killed. Whatever a living one holds stays, and is waited for."""
    command = [sys.executable, "-m", "pytest_orxaq", "locks", "--recover", "--assume-exclusive"]
    subprocess.run(command, check=False, timeout=deadline.remaining())


@Retry(attempts=5, base=0.5, backoff="equal", on=passes)
def release(version: str) -> None:
    tag = f"v{version}"
    if git("ls-remote", "--tags", "origin", tag):
        return
    git("fetch", "-q", "--no-tags", "origin")
    git("reset", "-q", "--hard", "origin/main")
    Path("VERSION").write_text(f"{version}\n", encoding="utf-8")
    git("add", "VERSION")
    if git("diff", "--cached", "--name-only"):
        git("commit", "-q", "-m", f"Release {version}")
    git("tag", "-f", "-a", tag, "-m", f"Release {version}")  # of this clone alone: nobody has it yet
    git("push", "-q", "--atomic", "origin", "HEAD:main", tag)


with deadline(600):
    recover()
    release(sys.argv[1])
