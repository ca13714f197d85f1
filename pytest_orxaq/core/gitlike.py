"""Which processes are git or may act like it, as far as their names and arguments tell."""

import re

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..model import LockKind


INDEX_KINDS = frozenset({LockKind.INDEX, LockKind.PARTIAL_INDEX, LockKind.STASH_INDEX})

# They take no lock of the repository, ever. Not among them: status and diff, which may refresh the index.
_READERS = frozenset(
    {
        "credential-cache--daemon",
        "for-each-ref",
        "fsmonitor--daemon",
        "http-backend",
        "ls-files",
        "ls-tree",
        "merge-base",
        "rev-list",
        "rev-parse",
        "show-ref",
        "upload-archive",
        "upload-pack",
    }
)
# They wait in a pager for as long as somebody reads. A cache of converted text may make them write a ref, no index.
_SHOWN = frozenset({"blame", "grep", "log", "shortlog", "show"})

# What runs a program that its own name does not tell: JGit in a virtual machine, a hook in a shell.
_INTERPRETER = re.compile(
    r"-?(?:ba|da|k|z|c|tc|fi|pw)?sh|busybox|bun|deno|dotnet|eclipse|env|java|jsvc|lua|make|mono|node|nodejs|npm|perl|php"
    r"|pypy|python|ruby|sudo|tclsh|wish"
)
_GIT = re.compile(r"(?<![A-Za-z])git(?![A-Za-z])")
_VERSION = re.compile(r"[0-9][0-9.]*$")

# They write for somebody on another machine, whose git keeps a lock with nothing open here.
_FILE_SERVERS = frozenset(
    {"diod", "ganesha.nfsd", "ksmbd", "nfsd", "plan9", "sftp-server", "smbd", "u9fs", "virtiofsd"}
)

_TAKES_A_VALUE = frozenset(
    {
        "-C",
        "-c",
        "--attr-source",
        "--config-env",
        "--git-dir",
        "--namespace",
        "--shallow-file",
        "--super-prefix",
        "--work-tree",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where a git command line points, in the words that it uses itself."""

    subcommand: str = ""
    folders: tuple[str, ...] = ()  # -C, one after the other
    git_folder: str = ""  # --git-dir or GIT_DIR
    common_folder: str = ""  # GIT_COMMON_DIR
    rest: tuple[str, ...] = ()  # after the subcommand


def is_git(name: str, command: Sequence[str], program: str | None) -> bool:
    """Whether a process is git, by any of the three names that it has."""
    names = {name, _base(command[0]) if command else "", _base((program or "").removesuffix(" (deleted)"))}
    return any(name == "git" or name.startswith("git-") for name in names)


def aim_of(command: Sequence[str], environment: Mapping[str, str]) -> Aim:
    """What a git does, and where. ``command`` is its whole argument list."""
    git_folder = environment.get("GIT_DIR", "")
    common_folder = environment.get("GIT_COMMON_DIR", "")
    own_name = _base(command[0]) if command else ""
    if own_name.startswith("git-"):
        return Aim(
            subcommand=own_name.removeprefix("git-"),
            git_folder=git_folder,
            common_folder=common_folder,
            rest=tuple(command[1:]),
        )
    words = list(command[1:])
    folders = []
    while words and words[0].startswith("-"):
        option, equals, value = words.pop(0).partition("=")
        if option in _TAKES_A_VALUE and not equals and words:
            value = words.pop(0)
        if option == "-C":
            folders.append(value)
        elif option == "--git-dir":
            git_folder = value
    return Aim(
        subcommand=words[0] if words else "",
        folders=tuple(folders),
        git_folder=git_folder,
        common_folder=common_folder,
        rest=tuple(words[1:]),
    )


def why_harmless(aim: Aim, kind: LockKind, *, ancestor: bool) -> str:
    """Why a git at work in the repository cannot hold a lock of this kind; empty if it can.

    ``ancestor``: it waits for us. A push that waits for its hook holds nothing yet; a commit may hold the index.
    """
    if aim.subcommand in _READERS:
        return f"git {aim.subcommand} only reads"
    if aim.subcommand == "cat-file" and any(word.startswith("--batch") for word in aim.rest):
        return "git cat-file only reads"
    if aim.subcommand in _SHOWN and kind in INDEX_KINDS:
        return f"git {aim.subcommand} does not touch the index"
    if ancestor and aim.subcommand == "push":
        return "git push waits for this hook, and holds nothing meanwhile"
    return ""


def may_be_git(name: str, command: Sequence[str]) -> bool:
    """Whether a process of which only names are known may be a git, or run a program that writes as git does."""
    names = [name, *(_base(word) for word in command[:1])]
    if names_git(name, command) or any("git" in own.lower() for own in names):
        return True
    return any(_INTERPRETER.fullmatch(_VERSION.sub("", own)) for own in names)


def names_git(name: str, command: Sequence[str]) -> bool:
    """Whether the word git stands anywhere in the names and arguments of a process."""
    return any(_GIT.search(word) for word in (name, *command))


def serves_files(name: str, command: Sequence[str]) -> bool:
    """Whether a process, or a thread of the kernel, lets other machines write to this one's files."""
    return bool({name, *(_base(word.rstrip(":")) for word in command[:1])} & _FILE_SERVERS)


def _base(path: str) -> str:
    return path.rpartition("/")[2]
