"""Five automations, each as it is often written and hardened: the first breaks under the fixtures, the second does not."""

import hashlib
import io
import itertools
import os
import subprocess
import sys
import tarfile
import zipfile

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from pytest_orxaq.faults import (
    After,
    CrashPoint,
    Faults,
    FaultServer,
    FullDisk,
    Git,
    Hang,
    Killed,
    Ok,
    Remote,
    RemoteMode,
    Reset,
    Status,
    SweepFailed,
    Truncate,
)
from pytest_orxaq.faults.steps import Step


HERE = Path(__file__).parent / "automations"
LIMIT = 120  # seconds for a run: a bound, and nothing that is measured

MakeGit = Callable[..., Git]
Sweep = Callable[..., list[CrashPoint]]
Fate = Literal["survives", "fails", "stuck"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fixtures need a POSIX system")


def naive(name: str, *words: str) -> list[str]:
    """The automation as it is often written."""
    return hardened(f"{name}_naive", *words)


def hardened(name: str, *words: str) -> list[str]:
    """The automation for unattended work."""
    return [sys.executable, str(HERE / f"{name}.py"), *words]


def run(command: list[str], where: Path) -> None:
    """Run it once, to its end; how it went is seen in what it has done."""
    subprocess.run(command, cwd=where, check=False, timeout=LIMIT, capture_output=True)


def fate(command: list[str], where: Path, right: Callable[[], bool], over: Callable[[], object] = bool) -> Fate:
    """Whether it does its work under a fault; if not, whether it does when the fault is over and it is run again."""
    run(command, where)
    if right():
        return "survives"
    over()
    run(command, where)
    return "fails" if right() else "stuck"


def git(where: Path, *words: str) -> str:
    """What git says; nothing if it fails."""
    return subprocess.run(["git", *words], cwd=where, check=False, capture_output=True, text=True).stdout


@pytest.fixture
def numbers() -> "itertools.count[int]":
    """For names of which there may be only one."""
    return itertools.count(1)


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Breakers of a test are no other's; what is called by name is this interpreter's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ".state"))
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))


def test_the_page_shows_what_is_tested() -> None:
    """Each script stands there as it is."""
    page = (Path(__file__).parents[2] / "docs" / "faults" / "automations.md").read_text(encoding="utf-8")
    scripts = sorted(HERE.glob("*.py"))
    assert len(scripts) == 10
    assert [script.name for script in scripts if f"```py\n{script.read_text(encoding='utf-8')}```" not in page] == []


# ---------------------------------------------------------------- the commit bot


LINES = "c\nb\na\n"


def bots_clone(isolated_git: MakeGit, name: str = "repo") -> Git:
    """A repository in which the bot has something to do."""
    repo = isolated_git(name)
    repo.commit("data", **{"data.txt": LINES})
    return repo


def reported(where: Path) -> bool:
    """Whether the report is committed, once, and nothing else has changed."""
    log, status = git(where, "log", "--format=%s"), git(where, "status", "--porcelain")
    done = log.splitlines() == ["Update the report", "data", "commit 1"] and not status
    return done and git(where, "show", "HEAD:report.txt") == "a\nb\nc\n"


@pytest.mark.parametrize("kind", ["index", "index-hook", "head+ref"])
@pytest.mark.parametrize(
    ("command", "expected"), [(naive("commit_bot"), "stuck"), (hardened("commit_bot"), "survives")]
)
def test_commit_bot_and_a_stale_lock(
    isolated_git: MakeGit, stale_git_lock: Callable[..., Any], kind: str, command: list[str], expected: Fate
) -> None:
    """A git was killed and has left its locks: the naive bot never commits again, the other one takes them away."""
    repo = bots_clone(isolated_git)
    stale_git_lock(repo, kind)
    assert fate(command, repo.path, lambda: reported(repo.path)) == expected
    assert bool(repo.locks()) == (expected == "stuck")


@pytest.mark.parametrize(
    ("command", "hold", "expected"),
    [(naive("commit_bot"), None, "fails"), (hardened("commit_bot"), 3.0, "survives")],
)
def test_commit_bot_and_a_live_lock(
    isolated_git: MakeGit,
    live_git_lock: Callable[..., Any],
    command: list[str],
    hold: float | None,
    expected: Fate,
) -> None:
    """Another git is at work: the hardened bot waits, and does not touch its lock, for which the fixture would fail it."""
    repo = bots_clone(isolated_git)
    lock = live_git_lock(repo, "index-hook", hold=hold)
    assert fate(command, repo.path, lambda: reported(repo.path), lock.release) == expected


@pytest.mark.parametrize(("command", "whole"), [(naive("commit_bot"), False), (hardened("commit_bot"), True)])
@pytest.mark.usefixtures("isolated_git")
def test_commit_bot_and_a_full_disk(full_disk: FullDisk, command: list[str], whole: bool) -> None:
    """There is no room for the new report: the naive bot leaves half of it, the other one the old report. Both fail."""
    setup = (
        "git init -q; printf 'old\\n' >report.txt; git add .; git commit -qm old;"
        " seq 3000 >data.txt; head -c 2m /dev/zero >filler 2>/dev/null || true"
    )
    ran = full_disk.run(command, size="1m", setup=setup)
    assert ran.returncode != 0
    assert (ran.left["report.txt"] == len("old\n")) == whole


def crashing_bot(isolated_git: MakeGit, numbers: "itertools.count[int]") -> Callable[[], Path]:
    """Makes it a clone, a fresh one each time."""
    return lambda: bots_clone(isolated_git, f"repo{next(numbers)}").path


def check_report(where: Path, _: CrashPoint) -> None:
    """The report is there, once."""
    assert reported(where)


PHASES = ("before", "during", "after")


def test_commit_bot_and_crashes(crash_sweep: Sweep, isolated_git: MakeGit, numbers: "itertools.count[int]") -> None:
    """Killed at any call, in the midst of git too: the hardened bot recovers, the naive one does not."""
    fresh = crashing_bot(isolated_git, numbers)
    points = crash_sweep(hardened("commit_bot"), setup=fresh, check=check_report, phases=PHASES)
    assert {point.argv[1] for point in points} >= {"add", "diff", "commit"}
    assert [point.argv[1] for point in points if point.phase == "during"] == ["commit"]
    with pytest.raises(SweepFailed) as failed:
        crash_sweep(naive("commit_bot"), setup=fresh, check=check_report, phases=PHASES)
    places = [(failure.point.argv[1], failure.point.phase) for failure in failed.value.failures]
    assert places == [("commit", "during"), ("commit", "after")]


# ---------------------------------------------------------------- the updater


UPDATE = ("lib", "2.0")


def updated(bare: Path) -> bool:
    """Whether the remote has the new version, once, and all else that it had."""
    log = git(bare, "log", "--format=%s", "main").splitlines()
    files = set(git(bare, "ls-tree", "--name-only", "main").split())
    others = sum(subject.startswith("somebody else's") for subject in log)
    return (
        git(bare, "show", "main:requirements.txt") == "lib==2.0\nother==1.0\n"
        and log.count("Update lib to 2.0") == 1
        and sum(name.startswith("somebody-else") for name in files) == others
    )


def pinned(clone: Git, bare: Git) -> None:
    """Have both the old version; trouble is at the remote's address, and not on this way."""
    clone.commit("pins", **{"requirements.txt": "lib==1.0\nother==1.0\n"})
    clone("push", "-q", str(bare.path), "HEAD:main")


@pytest.mark.parametrize(("mode", "of_the_naive"), [("race", "stuck"), ("http-503", "fails"), ("flaky", "fails")])
@pytest.mark.parametrize("version", ["naive", "hardened"])
def test_updater_and_its_remote(
    git_remote: Callable[..., Remote], faults: Faults, mode: RemoteMode, of_the_naive: Fate, version: str
) -> None:
    """Somebody is faster, the server is overloaded, the connection breaks off: the hardened one tries again, on top of what is there now."""
    remote = git_remote(mode, times=1)
    pinned(remote.clone, remote.bare)
    command = (naive if version == "naive" else hardened)("update", *UPDATE)
    expected = of_the_naive if version == "naive" else "survives"
    assert fate(command, remote.clone.path, lambda: updated(remote.bare.path), faults.heal) == expected


def test_updater_and_a_remote_that_says_nothing(
    git_remote: Callable[..., Remote], killed_process: Callable[..., Killed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive one waits until it is killed; with the hardened one, git gives up by itself, and tries again."""
    monkeypatch.setenv("PATIENCE", "1")
    for version, times in ((hardened, 1), (naive, None)):
        remote = git_remote("hang", times=times, name=version.__name__)
        pinned(remote.clone, remote.bare)
        command = version("update", *UPDATE)
        if version is hardened:
            run(command, remote.clone.path)
        else:
            killed_process(command, when=After(2), cwd=remote.clone.path)
        assert updated(remote.bare.path) == (version is hardened)


def test_updater_and_a_rule(git_remote: Callable[..., Remote]) -> None:
    """What is refused by a rule is refused the next time too: there is one push, and the words of the remote come out."""
    remote = git_remote("reject", message="Go through a pull request.")
    pinned(remote.clone, remote.bare)
    done = subprocess.run(
        hardened("update", *UPDATE), cwd=remote.clone.path, check=False, timeout=LIMIT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Go through a pull request." in done.stderr
    assert remote.troubles == 1


def crashing_clone(isolated_git: MakeGit, numbers: "itertools.count[int]") -> Callable[[], Path]:
    """Makes a remote and a clone of it, fresh ones each time."""

    def make() -> Path:
        number = next(numbers)
        bare = isolated_git(f"origin{number}", bare=True)
        clone = isolated_git(f"clone{number}", clone_of=bare)
        pinned(clone, bare)
        return clone.path

    return make


def origin(clone: Path) -> Path:
    """The remote's folder."""
    return Path(git(clone, "remote", "get-url", "origin").strip())


def test_updater_and_crashes(crash_sweep: Sweep, isolated_git: MakeGit, numbers: "itertools.count[int]") -> None:
    """Killed at any call, the hardened one ends its work when it is run again, and does it once."""
    fresh = crashing_clone(isolated_git, numbers)

    def check(where: Path, _: CrashPoint) -> None:
        assert updated(origin(where))

    points = crash_sweep(hardened("update", *UPDATE), setup=fresh, check=check, phases=PHASES)
    assert {point.argv[1] for point in points} >= {"fetch", "reset", "commit", "push"}
    with pytest.raises(SweepFailed) as failed:
        crash_sweep(naive("update", *UPDATE), setup=fresh, check=check, phases=PHASES)
    places = [(failure.point.argv[1], failure.point.phase) for failure in failed.value.failures]
    assert ("commit", "after") in places
    assert ("commit", "during") in places


# ---------------------------------------------------------------- the release


def released(bare: Path) -> bool:
    """Whether the tag names what the main branch has, which has the version, and once."""
    versions = git(bare, "log", "--format=%s", "main").splitlines().count("Release 2.0")
    within = git(bare, "branch", "--contains", "v2.0", "--format=%(refname:short)").split()
    return versions == 1 and within == ["main"] and git(bare, "show", "v2.0:VERSION") == "2.0\n"


@pytest.mark.parametrize(("mode", "of_the_naive"), [("race", "stuck"), ("flaky", "stuck"), ("http-503", "stuck")])
@pytest.mark.parametrize("version", ["naive", "hardened"])
def test_release_and_its_remote(
    git_remote: Callable[..., Remote], faults: Faults, mode: RemoteMode, of_the_naive: Fate, version: str
) -> None:
    """A push that fails leaves commit and tag here: the naive one cannot make them again, the hardened one begins anew."""
    remote = git_remote(mode, times=1)
    command = (naive if version == "naive" else hardened)("release", "2.0")
    expected = of_the_naive if version == "naive" else "survives"
    assert fate(command, remote.clone.path, lambda: released(remote.bare.path), faults.heal) == expected


def test_half_a_release(git_remote: Callable[..., Remote]) -> None:
    """Somebody is faster at the branch, and the tag goes through: the naive one has published what no branch has."""
    remote = git_remote("race")
    run(naive("release", "2.0"), remote.clone.path)
    assert git(remote.bare.path, "tag").split() == ["v2.0"]
    assert git(remote.bare.path, "branch", "--contains", "v2.0") == ""


def test_release_and_crashes(crash_sweep: Sweep, isolated_git: MakeGit, numbers: "itertools.count[int]") -> None:
    """Killed at any call, the hardened one publishes one commit with its tag when it is run again."""
    fresh = crashing_clone(isolated_git, numbers)

    def check(where: Path, _: CrashPoint) -> None:
        assert released(origin(where))

    points = crash_sweep(hardened("release", "2.0"), setup=fresh, check=check, phases=PHASES)
    assert {point.argv[1] for point in points} >= {"ls-remote", "fetch", "reset", "commit", "tag", "push"}
    with pytest.raises(SweepFailed) as failed:
        crash_sweep(naive("release", "2.0"), setup=fresh, check=check, phases=PHASES)
    places = {(failure.point.argv[1], failure.point.phase) for failure in failed.value.failures}
    assert places >= {("commit", "after"), ("tag", "before"), ("tag", "during"), ("tag", "after"), ("push", "before")}


# ---------------------------------------------------------------- the deploy


def wheel(version: str) -> bytes:
    """An installable app with one module."""
    info = f"app-{version}.dist-info"
    files = {
        "app.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: app\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


WHEEL = "/app-2.0-py3-none-any.whl"


@pytest.fixture
def index(fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> FaultServer:
    """A package index on this machine, the only one that pip knows. No retries of pip's own, so that one fault is enough."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{fault_server.url.rstrip('/')}/simple/")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_RESUME_RETRIES", "0")
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    monkeypatch.setenv("PIP_ROOT_USER_ACTION", "ignore")
    fault_server.route("/simple/app/").script(then=index_page())
    fault_server.route(WHEEL).script(then=Ok(wheel("2.0")))
    return fault_server


def live_app(top: Path) -> Path:
    """A folder where version 1.0 is the current one."""
    old = top / "releases" / "1.0"
    old.mkdir(parents=True)
    (old / "app.py").write_text("version = '1.0'\n", encoding="utf-8")
    (top / "current").symlink_to("releases/1.0")
    return top


def current(where: Path) -> str:
    """The version that runs; empty if none does."""
    command = [sys.executable, "-c", "import app; print(app.version)"]
    return subprocess.run(command, cwd=where / "current", check=False, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("/simple/app/", Status(503)),
        (WHEEL, Status(503)),
        (WHEEL, Reset()),
        (WHEEL, Truncate(100)),
    ],
    ids=["index-503", "wheel-503", "wheel-reset", "wheel-truncated"],
)
@pytest.mark.parametrize(("version", "expected"), [("naive", "stuck"), ("hardened", "survives")])
def test_deploy_and_its_index(
    index: FaultServer, tmp_path: Path, path: str, step: Step, version: str, expected: Fate
) -> None:
    """A download that fails: when the naive one is run again, nothing at all is current; the hardened one tries again."""
    then = Ok(wheel("2.0")) if path == WHEEL else index_page()
    index.route(path).script(step, then=then)
    where = live_app(tmp_path / "srv")
    command = (naive if version == "naive" else hardened)("deploy", "2.0")
    assert fate(command, where, lambda: current(where) == "2.0") == expected
    assert expected == "survives" or current(where) == ""


def index_page() -> Ok:
    """What the index says of the app."""
    page = f'<a href="{WHEEL}">app-2.0-py3-none-any.whl</a>'
    return Ok(page.encode(), {"Content-Type": "text/html"})


@pytest.mark.usefixtures("index", "isolated_git")
@pytest.mark.parametrize(("version", "runs"), [(naive, ""), (hardened, "version = '1.0'\n")])
def test_deploy_and_a_full_disk(full_disk: FullDisk, version: Callable[..., list[str]], runs: str) -> None:
    """No room for the new version: the naive one, run again, makes what there is of it the current one."""
    setup = (
        "mkdir -p releases/1.0; echo \"version = '1.0'\" >releases/1.0/app.py; ln -s releases/1.0 current;"
        " head -c 2m /dev/zero >filler 2>/dev/null || true"
    )
    twice = [*version("deploy", "2.0"), ";"] * 2
    script = " ".join(f"'{word}'" if word != ";" else word for word in twice)
    ran = full_disk.run(["sh", "-c", f"{script} cat current/app.py"], setup=setup)
    assert ran.stdout == runs
    assert "No space left on device" in ran.stderr


@pytest.mark.usefixtures("index")
def test_deploy_of_what_does_not_exist(tmp_path: Path) -> None:
    """It is not tried again, and the old version stays."""
    where = live_app(tmp_path / "srv")
    run(hardened("deploy", "3.0"), where)
    assert current(where) == "1.0"
    assert not (where / "releases" / "3.0").exists()


@pytest.mark.usefixtures("index")
def test_deploy_and_crashes(crash_sweep: Sweep, tmp_path: Path, numbers: "itertools.count[int]") -> None:
    """Killed before or after pip: the naive one takes an empty folder for a version, the hardened one does not."""

    def fresh() -> Path:
        return live_app(tmp_path / f"srv{next(numbers)}")

    def check(where: Path, _: CrashPoint) -> None:
        assert current(where) == "2.0"

    points = crash_sweep(hardened("deploy", "2.0"), setup=fresh, check=check, command="pip")
    assert [point.phase for point in points] == ["before", "after"]
    with pytest.raises(SweepFailed) as failed:
        crash_sweep(naive("deploy", "2.0"), setup=fresh, check=check, command="pip")
    assert [failure.point.phase for failure in failed.value.failures] == ["before"]


# ---------------------------------------------------------------- the downloader


def archive(name: str) -> bytes:
    """A tar file with one file in it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        entry = tarfile.TarInfo("words.txt")
        entry.size = len(name) * 1000
        tar.addfile(entry, io.BytesIO(name.encode() * 1000))
    return content.getvalue()


NAMES = ("one", "two")


@pytest.fixture
def wanted(fault_server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of two archives, with what is to be there."""
    monkeypatch.setenv("PATIENCE", "1")
    for name in NAMES:
        fault_server.route(f"/{name}.tar").script(then=Ok(archive(name)))
    root = fault_server.url.rstrip("/")
    return [f"{root}/{name}.tar#{hashlib.sha256(archive(name)).hexdigest()}" for name in NAMES]


def downloader(version: str, wanted: list[str]) -> list[str]:
    """The naive one knows of no check sums."""
    return (
        hardened("download", *wanted)
        if version == "hardened"
        else naive("download", *(one.split("#")[0] for one in wanted))
    )


def downloaded(where: Path) -> bool:
    """Whether all that was asked for is there, and whole."""
    files = [where / "data" / name / "words.txt" for name in NAMES]
    return all(file.exists() and file.read_text() == name * 1000 for file, name in zip(files, NAMES, strict=True))


@pytest.mark.parametrize(
    "step",
    [Status(503, retry_after=1), Reset(), Reset(after=500), Truncate(700), Truncate(0)],
    ids=["503", "reset", "reset-in-the-middle", "truncated", "empty"],
)
@pytest.mark.parametrize(("version", "expected"), [("naive", "stuck"), ("hardened", "survives")])
def test_downloader_and_its_server(
    fault_server: FaultServer, wanted: list[str], tmp_path: Path, step: Step, version: str, expected: Fate
) -> None:
    """An answer that is none, or not whole: the naive one takes it for done the next time, the hardened one asks again."""
    fault_server.route("/two.tar").script(step, then=Ok(archive("two")))
    where = tmp_path / "work"
    where.mkdir()
    assert fate(downloader(version, wanted), where, lambda: downloaded(where)) == expected


def test_downloader_and_a_server_that_says_nothing(
    fault_server: FaultServer, wanted: list[str], tmp_path: Path, killed_process: Callable[..., Killed]
) -> None:
    """The naive one waits until it is killed, and is stuck after that; the hardened one asks again."""
    for version in ("naive", "hardened"):
        fault_server.route("/two.tar").script(Hang(), then=Ok(archive("two")))
        where = tmp_path / version
        where.mkdir()
        if version == "naive":
            killed_process(downloader(version, wanted), when=After(2), cwd=where)
        run(downloader(version, wanted), where)
        assert downloaded(where) == (version == "hardened")


@pytest.mark.parametrize(("version", "there"), [("naive", True), ("hardened", False)])
def test_downloader_and_a_full_disk(full_disk: FullDisk, wanted: list[str], version: str, there: bool) -> None:
    """No room for an archive: the naive one leaves a folder with too little in it, the hardened one none."""
    command = ["sh", "-c", '"$@"; test -d data/one', "sh", *downloader(version, wanted)]
    ran = full_disk.run(command, size="16k", setup="head -c 1m /dev/zero >filler 2>/dev/null || true")
    assert (ran.returncode == 0) == there
    assert "No space left on device" in ran.stderr
    assert ran.left.get("data/one/words.txt", 0) == 0


def test_downloader_and_what_was_not_asked_for(fault_server: FaultServer, wanted: list[str], tmp_path: Path) -> None:
    """Something else under the address is not unpacked, and not asked for again."""
    fault_server.route("/two.tar").script(then=Ok(archive("other")))
    run(downloader("hardened", wanted), tmp_path)
    assert not (tmp_path / "data" / "two").exists()
    assert sum(request.path == "/two.tar" for request in fault_server.requests) == 1


def test_downloader_and_crashes(
    crash_sweep: Sweep, wanted: list[str], tmp_path: Path, numbers: "itertools.count[int]"
) -> None:
    """Killed before or after tar: the naive one takes an empty folder for an archive, the hardened one does not."""

    def fresh() -> Path:
        where = tmp_path / f"work{next(numbers)}"
        where.mkdir()
        return where

    def check(where: Path, _: CrashPoint) -> None:
        assert downloaded(where)

    points = crash_sweep(downloader("hardened", wanted), setup=fresh, check=check, command="tar")
    assert len(points) == 4
    with pytest.raises(SweepFailed):
        crash_sweep(downloader("naive", wanted), setup=fresh, check=check, command="tar")
