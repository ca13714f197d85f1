"""Which processes are git or may act like it, as far as their names and arguments tell."""

import re

from collections.abc import Iterable, Mapping, Sequence
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

# They write the index when they have refreshed it, then let go; and may wait in a pager for hours before or after.
_REFRESH = frozenset({"diff", "status"})

# What runs a program that its own name does not tell: JGit in a virtual machine, a hook in a shell.
_INTERPRETER = re.compile(
    r"-?(?:ba|da|k|z|c|tc|fi|pw)?sh|busybox|bun|deno|dotnet|eclipse|env|java|jsvc|lua|make|mono|node|nodejs|npm|perl|php"
    r"|pypy|python|ruby|sudo|tclsh|wish"
)
_GIT = re.compile(r"(?<![A-Za-z])git(?![A-Za-z])")
_VERSION = re.compile(r"[0-9][0-9.]*$")

# They write for somebody on another machine, whose git keeps a lock with nothing open here.
_FILE_SERVERS = frozenset(
    {
        *("afpd", "diod", "ganesha.nfsd", "glusterfsd", "ksmbd", "nfsd", "plan9", "runsc-gofer", "sftp-server", "smbd"),
        *("u9fs", "unfsd", "virtiofsd"),
        *("VBoxHeadless", "VirtualBoxVM", "limactl", "multipassd", "vmware-vmx"),  # machines with folders of their host
    }
)
# As a word of its title or its arguments: ssh's own server, gVisor's, and what hands a folder to a machine of qemu's.
_SERVES = re.compile(r"\binternal-sftp\b|-?-virtfs\b|-?-fsdev\b|\bgofer\b")

# They only look at a repository, or have git itself do the rest.
_ONLY_LOOK = ("gitk", "gitstatusd", "lazygit")

_GIT_LIBRARY = re.compile(r"libjvm\.|(?<!di)git.*\.(?:so|node|dylib)\b")  # JGit cannot be told from any other Java

_PYTHON_LIBRARY = re.compile(r"lib(?:python|pypy)|.*\.(?:cpython|pypy)[0-9]*-.*\.so\b")

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


# They run where no repository is, and hold no lock of one that they have not found: they only print, ask another
# machine, start others, write an object (which takes no lock), or make a repository where their arguments say.
_WITHOUT_REPOSITORY = frozenset(
    {
        *("", "archive", "clone", "daemon", "for-each-repo", "hash-object", "help", "init", "ls-remote", "remote-ftp"),
        *("remote-ftps", "remote-http", "remote-https", "shell", "version"),
    }
)
# With one of these options they work on files outside of any repository.
_WITHOUT_REPOSITORY_IF: Mapping[str, frozenset[str]] = {
    "config": frozenset({"--global", "--system"}),
    "diff": frozenset({"--no-index"}),
    "grep": frozenset({"--no-index"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where a git command line points, in the words that it uses itself."""

    subcommand: str = ""
    git_folder: str = ""  # --git-dir or GIT_DIR
    common_folder: str = ""  # GIT_COMMON_DIR
    work_tree: str = ""  # --work-tree or GIT_WORK_TREE: where git goes once it has found its folder
    rest: tuple[str, ...] = ()  # after the subcommand


def is_git(name: str, command: Sequence[str], program: str | None) -> bool:
    """Whether a process is git, by any of the three names that it has."""
    return any(own == "git" or own.startswith("git-") for own in _names(name, command, program))


def is_called_like_git(name: str, command: Sequence[str], program: str | None) -> bool:
    """Whether any of its names has git in it: a git that was renamed (git.real, git.distrib), or a program around git."""
    names = _names(name, command, program)
    return any("git" in own.lower() for own in names) and not any(own.startswith(_ONLY_LOOK) for own in names)


def has_git_library(mapped: Iterable[str]) -> bool:
    """Whether the files that a process has mapped may make it write to repositories as git does."""
    return any(map(_GIT_LIBRARY.search, mapped))


def is_python(name: str, command: Sequence[str], program: str | None) -> bool:
    """Whether a process is a Python by any of its names."""
    return any(own.startswith(("python", "pypy")) for own in _names(name, command, program))


def has_python_library(mapped: Iterable[str]) -> bool:
    """Whether a process has a Python inside, by the files that it has mapped: so do servers that run Python (uWSGI)."""
    return any(map(_PYTHON_LIBRARY.match, mapped))


def has_java(mapped: Iterable[str]) -> bool:
    """Whether a process is a Java virtual machine, by the files that it has mapped."""
    return any(name.startswith("libjvm.") for name in mapped)


def aim_of(command: Sequence[str], environment: Mapping[str, str]) -> Aim:
    """What a git does, and where. ``command`` is its whole argument list."""
    git_folder = environment.get("GIT_DIR", "")
    common_folder = environment.get("GIT_COMMON_DIR", "")
    work_tree = environment.get("GIT_WORK_TREE", "")
    command = _from_script(command)
    own_name = _base(command[0]) if command else ""
    if own_name.startswith("git-"):
        return Aim(
            subcommand=own_name.removeprefix("git-"),
            git_folder=git_folder,
            common_folder=common_folder,
            work_tree=work_tree,
            rest=tuple(command[1:]),
        )
    words = list(command[1:])
    while words and words[0].startswith("-"):
        option, equals, value = words.pop(0).partition("=")
        if option in _TAKES_A_VALUE and not equals and words:
            value = words.pop(0)
        if option == "--git-dir":
            git_folder = value
        elif option == "--work-tree":
            work_tree = value
    return Aim(
        subcommand=words[0] if words else "",
        git_folder=git_folder,
        common_folder=common_folder,
        work_tree=work_tree,
        rest=tuple(words[1:]),
    )


def places_named(aim: Aim) -> list[str]:
    """The words after a subcommand that may be paths, and the folders that a clone makes if it is not told any."""
    words = [word.partition("=")[2] if word.startswith("-") else word for word in aim.rest]
    if aim.subcommand == "clone":
        made = [_base(word.rstrip("/").removesuffix("/.git")).rpartition(":")[2] for word in words]
        words += [*made, *(name.removesuffix(".git") for name in made), *(f"{name}.git" for name in made if name)]
    return list(filter(None, words))


def needs_no_repository(aim: Aim) -> bool:
    """Whether a git that is in no repository is so by its nature, not because the way to its repository is gone."""
    credential = aim.subcommand == "credential" or aim.subcommand.startswith("credential-")
    options = _WITHOUT_REPOSITORY_IF.get(aim.subcommand, frozenset())
    return credential or aim.subcommand in _WITHOUT_REPOSITORY or not options.isdisjoint(aim.rest)


def why_harmless(aim: Aim, kind: LockKind, *, ancestor: bool, closed: bool = False) -> str:
    """Why a git at work in the repository cannot hold a lock of this kind; empty if it can.

    ``ancestor``: it waits for us. A push that waits for its hook holds nothing yet; a commit may hold the index.
    ``closed``: nobody has the lock open, as the kernel says, and the git is not stopped.
    """
    if aim.subcommand in _READERS:
        return f"git {aim.subcommand} only reads"
    if aim.subcommand == "cat-file" and any(word.startswith("--batch") for word in aim.rest):
        return "git cat-file only reads"
    if aim.subcommand in _SHOWN and kind in INDEX_KINDS:
        return f"git {aim.subcommand} does not touch the index"
    if closed and aim.subcommand in _REFRESH and kind in INDEX_KINDS:
        return f"git {aim.subcommand} keeps the index's lock open as long as it has it, and nobody has it open"
    if ancestor and aim.subcommand == "push":
        return "git push waits for this hook, and holds nothing meanwhile"
    if ancestor and aim.subcommand == "bisect" and aim.rest[:1] == ("run",):
        return "git bisect waits for this command, and holds nothing meanwhile"
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
    names = {name, *(_base(word.removesuffix(":")) for word in command[:1])}
    return bool(names & _FILE_SERVERS) or any(_SERVES.search(word) for word in command)


def _from_script(command: Sequence[str]) -> Sequence[str]:
    """A command line from the script on that an interpreter was given: so starts a git that is a script around git."""
    if command and _INTERPRETER.fullmatch(_VERSION.sub("", _base(command[0]))):
        for number, word in enumerate(command[1:3], 1):
            if _base(word) == "git" or _base(word).startswith("git-"):
                return command[number:]
    return command


def _names(name: str, command: Sequence[str], program: str | None) -> set[str]:
    """What the kernel calls a process, what it was called with, and its file."""
    return {name, *map(_base, command[:1]), _base((program or "").removesuffix(" (deleted)"))}


def _base(path: str) -> str:
    return path.rpartition("/")[2]
