"""The installed plugin: the same witness, sent for only when a gate is there."""

import os
import subprocess
import sys

from pathlib import Path

import pytest

import pytest_orxaq

from pytest_orxaq.core import testimony
from pytest_orxaq.mailbox import Mailbox, create, offer, read_sessions


PACKAGE = Path(pytest_orxaq.__file__).parent
ROOT = PACKAGE.parent
CARRIED = PACKAGE / "carried"
HEAVY = ("jinja2", "git", "junitparser", "psutil", "rich", "click")


def run(
    top: Path, *arguments: str, mailbox: Mailbox | None = None, carried: bool = False
) -> subprocess.CompletedProcess[str]:
    """pytest with the plugin loaded by name, as an installation would."""
    (top / "test_a.py").write_text("def test_one(): pass\n", encoding="utf-8")
    unrelated = ("PYTEST_", "PYTHON", "ORXAQ_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unrelated)}
    environment["PYTHONPATH"] = str(ROOT)
    if mailbox is not None:
        environment = offer(mailbox, environment, carried=CARRIED)
    if not carried:
        environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "pytest", "-p", "orxaq", *arguments]
    return subprocess.run(
        command,
        cwd=top,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    """A mailbox beside the project."""
    return create(tmp_path / "runs", "attempt", "nonce")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A project."""
    top = tmp_path / "project"
    top.mkdir()
    (top / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return top


@pytest.mark.parametrize("arguments", [(), ("-n1",), ("-W", "error")])
@pytest.mark.parametrize("carried", [False, True])
def test_the_plugin_testifies_once(top: Path, mailbox: Mailbox, carried: bool, arguments: tuple[str, ...]) -> None:
    """The installed plugin is the witness, also where the carried one is present as well."""
    done = run(top, *arguments, mailbox=mailbox, carried=carried)
    assert done.returncode == 0, done.stdout + done.stderr
    (session,), notes = read_sessions(mailbox)
    assert notes == ()
    assert testimony.clean(session)
    assert set(session.passed) == {"test_a.py::test_one"}
    assert f"orxaq: evidence goes to {mailbox.folder}" in done.stdout


def test_without_a_gate_there_is_nothing(top: Path, mailbox: Mailbox) -> None:
    """Without a mailbox the plugin says nothing, writes nothing and loads no witness."""
    check = "import sys\ndef pytest_unconfigure(): assert not any('witness' in name for name in sys.modules)\n"
    (top / "conftest.py").write_text(check, encoding="utf-8")
    done = run(top)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "orxaq: evidence" not in done.stdout.replace(str(top), "")
    assert list(mailbox.folder.iterdir()) == []


def test_a_blocked_witness_is_not_sent_for(top: Path, mailbox: Mailbox) -> None:
    """-p no:orxaq_witness is meant for the plugin too."""
    assert run(top, "-p", "no:orxaq_witness", mailbox=mailbox).returncode == 0
    assert list(mailbox.folder.iterdir()) == []


@pytest.mark.parametrize("gate", [False, True])
def test_the_plugin_loads_nothing_heavy(top: Path, mailbox: Mailbox, gate: bool) -> None:
    """No run of tests pays for what only reports and commands need."""
    check = f"import sys\ndef pytest_unconfigure(): assert not {set(HEAVY)!r} & set(sys.modules)\n"
    (top / "conftest.py").write_text(check, encoding="utf-8")
    done = run(top, "-p", "no:xdist", "-p", "no:hypothesispytest", mailbox=mailbox if gate else None)
    assert done.returncode == 0, done.stdout + done.stderr
