"""Remotes that behave badly, served by a real git on this machine."""

import shutil
import threading

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

from ..errors import UsageError
from ..system.process import ask
from . import choices
from .choices import check
from .gitserver import GitServer, Reply, Request, serve
from .handles import GitLock
from .isolation import EPOCH, TICK, Git, Isolation
from .locks import Locks
from .troubles import Arm, Faults, Truth


RemoteMode = Literal["ok", "reject", "non-ff", "race", "hang", "auth", "flaky", "gone", "http-503", "lock"]
MODES: tuple[RemoteMode, ...] = get_args(RemoteMode)

_COUNTED: tuple[RemoteMode, ...] = ("race", "hang", "flaky", "http-503", "lock")  # can be over after some times
_ONCE: tuple[RemoteMode, ...] = ("race", "flaky")  # are, after the first, unless told otherwise
_MESSAGES: Mapping[RemoteMode, str] = {
    "reject": "This branch is protected: changes go through a pull request.",
    "auth": "Invalid username or token.",
    "gone": "Repository not found.",
    "http-503": "The service is unavailable.",
}
_TRUTHS: Mapping[RemoteMode, Truth] = {
    "reject": "permanent",
    "non-ff": "permanent",
    "race": "transient",
    "hang": "transient",
    "auth": "permanent",
    "flaky": "transient",
    "gone": "permanent",
    "http-503": "transient",
}
_WORDS = {"git-upload-pack": "fetch", "git-receive-pack": "push"}

# A push that loses a race: when it is let in, what it would replace is not there any more. The objects go where they
# stay: those of the push are in quarantine until it is over.
_HOOK = """\
#!/bin/sh
if [ -n "$ORXAQ_REFUSES" ]; then
	printf '%s\\n' "$ORXAQ_REFUSES"
	exit 1
fi
[ -n "$ORXAQ_RACE" ] || exit 0
unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
while read -r old new ref; do
	case $ref in refs/heads/*) ;; *) continue ;; esac
	there=$(git rev-parse -q --verify "$ref" || git rev-parse HEAD)
	blob=$(echo "$ORXAQ_RACE" | git hash-object -w --stdin)
	tree=$({ git ls-tree "$there"; printf '100644 blob %s\\tsomebody-else-%s\\n' "$blob" "$ORXAQ_RACE"; } | git mktree)
	git update-ref "$ref" "$(git commit-tree -p "$there" -m "somebody else's $ORXAQ_RACE" "$tree")"
done
"""


# ---------------------------------------------------------------- the other side


class Side:
    """What answers at a remote's URL: it counts who comes, and makes trouble."""

    def __init__(
        self, mode: RemoteMode, bare: Git, message: str, times: int | None, arm: Arm, lock: GitLock | None
    ) -> None:
        """``times``: how often there is trouble; None for good. ``arm`` is told of each; ``lock`` goes with the last."""
        self.mode = mode
        self.attempts = 0
        self.troubles = 0
        self._bare = bare
        self._message = message
        self._times = times
        self._arm = arm
        self._lock = lock
        self._well = mode == "ok"
        self._peace = threading.Event()
        self._counting = threading.Lock()
        self._turn = threading.Lock()

    def __call__(self, request: Request) -> Reply | None:
        """The answer to a request; None of silence."""
        if not request.path.startswith(f"/{self._bare.path.name}/"):
            return Reply(status=404)
        with self._counting:
            self.attempts += request.opens
        with self._turn:  # one after the other, so that nobody meets one trouble too many
            well = self._well
            reply = None if well else _ANSWERS[self.mode](self, request)
        if self.mode == "hang" and not well:
            self._peace.wait()
        return serve(request, self._bare, {}) if well else reply

    def heal(self) -> None:
        """Be well from now on; who waits for an answer is hung up on."""
        self._well = True
        self._peace.set()
        if self._lock is not None:
            self._lock.release()

    def _trouble(self, request: Request) -> None:
        """Note a trouble that was made; after the last one all is well."""
        self.troubles += 1
        self._arm.fire(f"{self.mode}, {_WORDS.get(request.service, 'look')}")
        if self.troubles == self._times:
            self._well = True
            if self._lock is not None:
                self._lock.release()

    # ------------------------------------------------------------ modes

    def refuse(self, request: Request) -> Reply:
        """A push meets the hook, or a lock."""
        environment = {"reject": {"ORXAQ_REFUSES": self._message}, "race": self._racing()}.get(self.mode, {})
        reply = serve(request, self._bare, environment)
        if b"ng refs/" in reply.body:
            self._trouble(request)
        return reply

    def _racing(self) -> dict[str, str]:
        moment = f"{EPOCH + TICK * (1000 + self.troubles)} +0000"
        who = {f"GIT_{role}_NAME": "Somebody Else" for role in ("AUTHOR", "COMMITTER")}
        dates = {f"GIT_{role}_DATE": moment for role in ("AUTHOR", "COMMITTER")}
        return who | dates | {"ORXAQ_RACE": str(self.troubles + 1)}

    def let_git_refuse(self, request: Request) -> Reply:
        """Whoever comes to push meets what somebody has pushed; git itself refuses, before it sends anything."""
        if request.opens and request.service == "git-receive-pack" and not self.troubles:
            self._trouble(request)
        return serve(request, self._bare, {})

    def challenge(self, request: Request) -> Reply:
        """Whoever comes is asked to say who it is, and refused whatever it says."""
        if request.opens:
            self._trouble(request)
        words = self._plain(401, {"WWW-Authenticate": 'Basic realm="git"'})
        return replace(words, open=True)  # git asks again there, if it knows what to say

    def say_nothing(self, request: Request) -> None:
        """Not now, and not later either."""
        self._trouble(request)

    def deny(self, request: Request) -> Reply:
        """There is no such repository."""
        self._trouble(request)
        return self._plain(404, {})

    def be_overloaded(self, request: Request) -> Reply:
        """Come again in a second."""
        self._trouble(request)
        return self._plain(503, {"Retry-After": "1"})

    def break_off(self, request: Request) -> Reply | None:
        """Break the connection in the midst of the answer, or before a push is even looked at."""
        if request.method == "GET" or _lists_for_a_clone(request.body):
            return serve(request, self._bare, {})
        reply = serve(request, self._bare, {}) if request.service == "git-upload-pack" else None
        self._trouble(request)
        return reply and Reply(headers=reply.headers, body=reply.body, sent=len(reply.body) // 2)

    def _plain(self, status: int, headers: Mapping[str, str]) -> Reply:
        """An answer in words: git shows them."""
        words = f"{self._message}\n".encode()
        return Reply(status=status, headers={**headers, "Content-Type": "text/plain"}, body=words)


def _lists_for_a_clone(body: bytes) -> bool:
    """Whether a client asks for the refs that a clone needs: it will ask for a pack next."""
    return b"command=ls-refs" in body and b"ref-prefix HEAD\n" in body and b"ref-prefix refs/tags/\n" in body


_ANSWERS: Mapping[RemoteMode, Callable[[Side, Request], Reply | None]] = {
    "reject": Side.refuse,
    "race": Side.refuse,
    "lock": Side.refuse,
    "non-ff": Side.let_git_refuse,
    "hang": Side.say_nothing,
    "auth": Side.challenge,
    "gone": Side.deny,
    "http-503": Side.be_overloaded,
    "flaky": Side.break_off,
}


# ---------------------------------------------------------------- handle


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Remote:
    """A remote, and a clone of it. All trouble is at the URL: who goes to the bare repository's folder meets none."""

    mode: RemoteMode
    bare: Git  # the other side's repository
    clone: Git  # a clone whose `origin` is the URL
    url: str  # what the code under test is given: the alias, if there is one
    served_at: str  # where that leads
    lock: GitLock | None = None  # of the bare repository's `main`, in the mode `lock`
    side: Side = field(repr=False)

    @property
    def attempts(self) -> int:
        """How many git commands have come to the other side so far, to fetch, push, clone or look."""
        return self.side.attempts

    @property
    def troubles(self) -> int:
        """How many of them met trouble."""
        return self.side.troubles

    def heal(self) -> None:
        """From now on the remote is well. Who still waits for an answer is hung up on."""
        self.side.heal()


# ---------------------------------------------------------------- making


class Remotes:
    """Makes remotes, and closes them."""

    def __init__(self, faults: Faults, isolation: Isolation, project: Path) -> None:
        """``project`` is the folder of the tests' own project: its repository is not to be touched."""
        self._faults = faults
        self._isolation = isolation
        self._locks = Locks(faults, isolation, project)

    def make(
        self,
        mode: RemoteMode = "ok",
        *,
        times: int | None = None,
        message: str | None = None,
        url_alias: str | None = None,
        name: str = "project",
        required: bool = True,
    ) -> Remote:
        """A bare repository ``NAME.git`` with one commit on ``main``, served over HTTP, and a clone of it ``NAME``.

        ``times``: how often there is trouble before all is well: race and flaky once if not told, the others for good.
        ``message``: what the other side says where it says something. ``url_alias``: the URL that the code under
        test knows; git is led from there to this machine. ``required``: a test in which nobody met the trouble fails.

        Raises UsageError for what there is not, with the choices; skips where this git cannot be served over HTTP.
        """
        _check(mode, times, message, url_alias)
        require_http(self._faults)
        bare = self._isolation.make(f"{name}.git", bare=True)
        clone = self._isolation.make(name, clone_of=bare)
        self._furnish(mode, bare)
        live = mode == "lock" and times is not None
        truth = _TRUTHS.get(mode, "live-contention" if live else "stale-state")
        what = f"a remote in the mode {mode!r}"
        arm = self._faults.arm("git_remote", truth=truth, what=what, required=required and mode != "ok")
        times = 1 if times is None and mode in _ONCE else times
        lock = self._locked(bare, live=live) if mode == "lock" else None
        side = Side(mode, bare, message or _MESSAGES.get(mode, ""), times, arm, lock)
        server = GitServer(side)
        self._faults.stack.callback(server.close)
        self._faults.stack.callback(side.heal)
        self._faults.on_heal(side.heal)
        served_at = f"{server.root}/{bare.path.name}"
        self._lead_to(served_at, url_alias)
        clone("remote", "set-url", "origin", url_alias or served_at)
        return Remote(
            mode=mode, bare=bare, clone=clone, url=url_alias or served_at, served_at=served_at, lock=lock, side=side
        )

    def _furnish(self, mode: RemoteMode, bare: Git) -> None:
        """Let the bare repository be pushed to, and be as the mode wants it."""
        bare("config", "http.receivepack", "true")
        if mode in {"reject", "race"}:
            hook = bare.write("hooks/pre-receive", _HOOK)
            hook.chmod(0o755)
        if mode == "non-ff":
            somebody = self._isolation.make(f".orxaq/somebody-of-{bare.path.name}", clone_of=bare)
            somebody.commit("somebody else's", **{"somebody-else": "1\n"})
            somebody("push", "--quiet")

    def _locked(self, bare: Git, *, live: bool) -> GitLock:
        """A lock of ``main``: git's own, which takes a branch that is checked out nowhere."""
        bare("update-ref", "--no-deref", "HEAD", bare("rev-parse", "HEAD").stdout.strip())
        lock = (self._locks.live if live else self._locks.stale)(bare, "ref")
        bare("symbolic-ref", "HEAD", "refs/heads/main")
        return lock

    def _lead_to(self, served_at: str, alias: str | None) -> None:
        """Have every git of this test go straight to the server, and by the alias, with or without its suffix."""
        settings = [(f"http.{served_at}.proxy", "")]
        if alias is not None:
            stem = alias.rstrip("/").removesuffix(".git")
            names = [(key, f"{stem}{suffix}") for key in ("insteadOf", "pushInsteadOf") for suffix in ("", ".git")]
            settings += [(f"url.{served_at}.{key}", known) for key, known in names]
        for key, value in settings:
            Git(self._isolation.home, self._isolation.env)("config", "--global", "--add", key, value)


def _check(mode: str, times: int | None, message: str | None, alias: str | None) -> None:
    """Raise UsageError for what does not go together."""
    check(mode, MODES, "mode of a remote")
    if times is not None and mode not in _COUNTED:
        raise UsageError(f"A remote in the mode {mode!r} does not count.", advice=f"These do: {', '.join(_COUNTED)}.")
    if times is not None and (type(times) is not int or times < 1):
        raise UsageError(f"There cannot be trouble {times!r} times.", advice="Say 1 or more, or None for good.")
    if message is not None and mode not in _MESSAGES:
        raise UsageError(f"A remote in the mode {mode!r} says nothing.", advice=f"These do: {', '.join(_MESSAGES)}.")
    for word, said in (("message", message), ("url_alias", alias)):
        if said is not None:
            choices.text(said, word)
    if message is not None and (not message.strip() or "\0" in message):
        raise UsageError(f"message={message!r} says nothing.", advice="What the other side says, as a text.")
    if alias is not None and not alias.isprintable():
        raise UsageError(f"url_alias={alias!r} is no URL.", advice="Say the URL that the code under test knows.")
    if alias is not None and not alias.rstrip("/").removesuffix(".git"):
        raise UsageError("The alias is empty.", advice="Say the URL that the code under test knows.")


def require_http(faults: Faults) -> None:
    """End the test where git has no HTTP, on either side."""
    missing = [name for name in ("git-remote-http", "git-http-backend") if not (_programs() / name).exists()]
    if missing:
        faults.lacks(f"git on this machine has no {' and no '.join(missing)}: remotes cannot be served.")


def _programs() -> Path:
    return _exec_path(shutil.which("git") or "")


@lru_cache
def _exec_path(git: str) -> Path:
    """Where a git has its programs."""
    said = ask((git, "--exec-path"), directory=Path("/"), environment=None)
    return Path(said.out.decode().strip())
