"""Failures that a signature knows, from a command's output to what is done and told about it."""

import html
import re
import sys

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


PAGE = Path(__file__).parent.parent / "docs" / "signatures.md"
ONCE = ".PHONY: test\ntest:\n\t@if [ -e ../seen ]; then {python} -m pytest -q -p no:cacheprovider; else touch ../seen; "
TEST = "def test_fine():\n    assert True\n"
SOON = 'first-delay = "0.1s"\n'
QUOTA = """
[[signature]]
id = "quota"
program = "make"
action = "retry"
regex = 'quota: none left until \\S++'
needle = "quota: none left"
advice = "Come back in the next hour."
matches = ["quota: none left until 12:00"]
"""


def failing(recipe: str, settings: str = "", *, once: bool = True) -> dict[str, str]:
    """A project whose recipe fails so, the first time or always; ``recipe`` is a shell's."""
    makefile = f"{ONCE}{recipe}; fi\n" if once else f".PHONY: test\ntest:\n\t@{recipe}\n"
    return {"Makefile": makefile, "test_it.py": TEST, "orxaq.toml": SOON + settings, ".gitignore": "__pycache__/\n"}


def attempts(ran: Any) -> list[dict[str, Any]]:
    """The attempts at the test checkpoint."""
    found: list[dict[str, Any]] = ran.outcomes["test"]["attempts"]
    return found


def report(here: Any) -> str:
    """The text of the last report."""
    return html.unescape((here.top / ".orxaq" / "report.html").read_text())


def test_a_shipped_signature_is_named(project: Callable[..., Any]) -> None:
    """Explain and the report name the rule, the line with its number in the output, and where such words come from."""
    here = project(failing("echo first; echo 'curl: (56) Recv failure: Connection reset by peer' >&2; exit 56"))
    ran = here.gate("test")
    assert ran.record["verdict"] == "flaky", ran.err
    told = here.orxaq("runs", "explain").out
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "decided by: line 2 of the output: curl: (56) Recv failure: Connection reset by peer" in shown
    assert shown.partition("\n")[2] in told, told
    assert "line 2 of the output, by the signature curl-transfer" in report(here)


def test_a_signature_of_the_users(project: Callable[..., Any]) -> None:
    """A signature in the configuration decides like a shipped one; without it the same output is a failure."""
    recipe = "echo 'quota: none left until 13:00'; exit 3"
    here = project(failing(recipe, QUOTA))
    assert here.gate("test").record["verdict"] == "flaky"
    told = here.orxaq("runs", "explain").out
    assert "attempt 1: transient" in told
    assert "signature: quota, which says retry; from the configuration" in told
    assert "advice: Come back in the next hour." in told
    here.write(failing(recipe, once=False))
    here.commit()
    other = here.gate("test")
    assert (other.cause(), len(attempts(other))) == ("command failed", 1)


def test_a_passive_signature_changes_nothing(project: Callable[..., Any]) -> None:
    """A passive signature is told, and the failure remains one."""
    here = project(failing("echo 'quota: none left until 13:00'; exit 3", QUOTA + "passive = true\n", once=False))
    ran = here.gate("test")
    assert (ran.cause(), len(attempts(ran))) == ("command failed", 1)
    note = "note: the passive signature quota applies and decides nothing: line 1: quota: none left until 13:00"
    assert note in here.orxaq("runs", "explain").out


def test_a_permanent_signature_outweighs_a_transient_one(project: Callable[..., Any]) -> None:
    """What the same program says for good, wherever it stands, is not tried again; what another one says does not count."""
    refused = "fatal: Authentication failed for 'https://x/y/'"
    reset = "fatal: unable to access 'https://x/y/': Could not resolve host: x"
    here = project({})
    for first, second in ((refused, reset), (reset, refused)):
        here.write(failing(f'echo "{first}"; echo "{second}"; exit 128', once=False))
        ran = here.gate("test")
        assert (ran.cause(), len(attempts(ran))) == ("command failed", 1)
        assert f"of the output: {refused}" in here.orxaq("runs", "explain").out
    here.write(failing(f'echo "{reset}"; echo "ERROR: No matching distribution found for nonsense"; exit 128'))
    ran = here.gate("test")
    assert ran.record["verdict"] == "flaky", ran.err


def test_less_at_once(project: Callable[..., Any]) -> None:
    """What failed because too much ran at once is tried once more with less parallelism, and this is told."""
    killed = "c++: fatal error: Killed signal terminated program cc1plus"
    less = '"$$ORXAQ_REDUCED" = 1 ]'
    here = project(
        failing(
            f"if [ {less}; then {{python}} -m pytest -q -p no:cacheprovider; else echo '{killed}'; exit 1; fi",
            once=False,
        )
    )
    ran = here.gate("test")
    assert ran.record["verdict"] == "flaky", ran.err
    assert [attempt["diagnosis"]["cause"] for attempt in attempts(ran)] == ["overloaded", "passed"]
    assert attempts(ran)[0]["reduced"] == []
    assert ["ORXAQ_REDUCED", "1"] in attempts(ran)[1]["reduced"]
    assert "with less parallelism: ORXAQ_REDUCED=1 CARGO_BUILD_JOBS=" in here.orxaq("runs", "explain").out
    assert "ORXAQ_REDUCED=1 CARGO_BUILD_JOBS=" in report(here)
    here.write(failing(f"echo '{killed}'; exit 1", once=False))
    ran = here.gate("test")
    assert [attempt["diagnosis"]["cause"] for attempt in attempts(ran)] == ["overloaded"] * 2
    assert ran.record["verdict"] == "infrastructure"


BY_FACTS = {
    # settings of the checkpoint, cause, why, attempts
    "an exit code": (
        ("sh", "-c", "exit 44"),
        'program = "sh"\nexit = 44\naction = "retry"',
        ("transient", "exit code 44 means trouble that usually passes", 2),
    ),
    "a signal": (
        ("sh", "-c", "kill -XCPU $$"),
        "",
        ("command failed", "it was ended by SIGXCPU", 1),
    ),
    "an error at the start": (
        ("./odd",),
        'errno = "ENOEXEC"\naction = "retry"',
        ("transient", "the command could not be started: ", 2),
    ),
}


@pytest.mark.parametrize(("command", "rule", "expected"), BY_FACTS.values(), ids=BY_FACTS)
def test_what_is_told_by_the_end_itself(
    project: Callable[..., Any], command: tuple[str, ...], rule: str, expected: tuple[str, str, int]
) -> None:
    """Exit codes, signals and errors at the start are known without any words."""
    cause, why, count = expected
    own = f'[[signature]]\nid = "own"\nadvice = "Look."\n{rule}\n' if rule else ""
    here = project(
        {"orxaq.toml": f"{SOON}[checkpoint.test]\ncommand = {list(command)}\nretries = 1\n{own}", "odd": "\0\1"}
    )
    (here.top / "odd").chmod(0o755)
    ran = here.gate("test")
    found = attempts(ran)
    assert (ran.cause(), len(found)) == (cause, count), ran.err
    assert found[0]["diagnosis"]["why"].startswith(why)
    known = found[0]["diagnosis"]["signature"]
    told = here.orxaq("runs", "explain").out
    assert f"signature: {known['fact']}, {known['rule']}, which says {known['action']}; from " in told
    words = f"{known['fact']}, by the signature {known['rule']}"
    assert words in report(here)
    assert words in html.unescape((here.top / ".orxaq" / "report.md").read_text())


def test_no_rule_is_read_without_a_failure(project: Callable[..., Any]) -> None:
    """Where nothing fails the shipped rules are not read, and a configuration without signatures needs no reader of them."""
    code = (
        "import sys; from pytest_orxaq.config import load; import pytest_orxaq.cli, pytest_orxaq.attempts;"
        "from pathlib import Path; load(Path('.'), {});"
        "sys.exit(any('catalogue' in name or 'rulebook' in name for name in sys.modules))"
    )
    assert project({}).run(sys.executable, "-c", code).code == 0
