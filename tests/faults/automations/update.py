"""Pin a newer version in requirements.txt and push that, with nobody watching: update.py NAME VERSION.

The clone is the updater's own. Each attempt begins with what the remote has now and ends with a push, which is refused
if somebody was faster: nobody's work is overwritten, and nothing is forced.
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
def update(name: str, version: str) -> None:
    git("fetch", "-q", "origin")
    git("reset", "-q", "--hard", "origin/main")
    path = Path("requirements.txt")
    before = path.read_text(encoding="utf-8")
    after = re.sub(rf"(?m)^{re.escape(name)}==.*$", f"{name}=={version}", before)
    if after == before:
        return
    path.write_text(after, encoding="utf-8")  # nobody reads it here, and the next attempt begins anew
    git("commit", "-q", "-a", "-m", f"Update {name} to {version}")
    git("push", "-q", "origin", "HEAD:main")


with deadline(600):
    recover()
    update(*sys.argv[1:])
