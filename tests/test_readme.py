"""What README and docs show is true."""

import re
import shlex

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from click.testing import CliRunner

from pytest_orxaq import config
from pytest_orxaq.cli import commands


ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shown() -> list[str]:
    """The orxaq commands in README's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = [line.removeprefix("$ ").partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith("orxaq ")))


@pytest.mark.parametrize("line", [line for line in shown() if not re.match(r"orxaq (demo|run|faults)\b", line)])
def test_shown_commands_work(project: Callable[..., Any], line: str) -> None:
    """Each command shown runs in a repository with passing checkpoints, and ends with 0."""
    makefile = ".PHONY: lint test\nlint:\n\t{python} -m compileall -q .\ntest:\n\t{python} -m pytest -q\n"
    here = project(
        {"Makefile": makefile, "test_a.py": "def test_a(): pass\n", ".gitignore": "__pycache__\n.pytest_cache\n"}
    )
    here.orxaq("gate")
    ran = here.orxaq(*line.split()[1:])
    assert ran.code == 0, ran.err


RELEASE = """#!/bin/sh
for attempt in 1 2 3; do git push -q origin main && exit; done
exit 1
"""


def test_the_shown_faults_are_met(project: Callable[..., Any]) -> None:
    """A release that pushes up to three times gets through what README puts in its way, and one that pushes once does not."""
    (line,) = [line for line in shown() if line.startswith("orxaq faults")]
    here = project({"release.sh": RELEASE})
    (here.top / "release.sh").chmod(0o755)
    here.git("init", "-q", "--bare", "../remote.git")
    here.git("remote", "add", "origin", "../remote.git")
    ran = here.orxaq(*shlex.split(line)[1:])
    assert ran.code == 0, ran.err
    assert here.git("rev-parse", "main") == here.git("-C", "../remote.git", "rev-parse", "main")
    here.write({"release.sh": RELEASE.replace("1 2 3", "1")})
    assert here.orxaq(*shlex.split(line)[1:]).code == 1


@pytest.mark.parametrize("target", ["gate", "test"])
def test_shown_targets_exist(target: str) -> None:
    """The Makefile has the targets that README names."""
    assert f"$ make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_shown_configuration_is_read(tmp_path: Path) -> None:
    """The configuration in README is one."""
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(block, encoding="utf-8")
    assert config.load(tmp_path, {}).deadline == 1800.0


BOT = """
import subprocess, sys

def commit(place):
    subprocess.run([sys.executable, "-m", "pytest_orxaq", "locks", "--recover", "--assume-exclusive", place], check=False)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "by a bot"], cwd=place, check=False)
"""


def test_shown_tests_pass(pytester: pytest.Pytester) -> None:
    """The tests in README pass for a bot that recovers stale locks by `orxaq locks`, and fail for one that deletes them."""
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    pytester.makepyfile(my_bot=BOT, test_bot=f"import my_bot\n\n\n{block}")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)
    careless = BOT.replace("import subprocess, sys", "import pathlib, subprocess, sys").replace(
        "def commit(place):", "def commit(place):\n    pathlib.Path(place, '.git', 'index.lock').unlink()"
    )
    pytester.makepyfile(my_bot=careless)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2, errors=1)


MIRROR = """
import pytest

@pytest.fixture
def mirror(tmp_path_factory):
    count = tmp_path_factory.getbasetemp() / "count"
    class Mirror:
        def ping(self):
            return self.fetch("x")
        def fetch(self, name):
            with count.open("ab") as file:
                file.write(b".")
                if file.tell() % 2: raise ConnectionResetError("gone")
            return f"{name} of packages"
    return Mirror()
"""


def test_shown_markers_work(pytester: pytest.Pytester) -> None:
    """The tests in the page on flaky tests pass at their second attempt, and are told as shown there."""
    page = (ROOT / "docs" / "flaky-tests.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    pytester.makeconftest(MIRROR)
    pytester.makepyfile(test_mirror=block)
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=2)
    (shown,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    section, flaky, attempt = shown.splitlines()[1:4]
    assert section.strip("= ") == "tests tried again"
    said, _, waited = attempt.partition("; ")
    assert re.fullmatch(r"tried again after \d\.\d s", waited)  # chance may leave no time to tell of
    result.stdout.fnmatch_lines(["* tests tried again *", flaky, f"{said}*"])
    result.stdout.fnmatch_lines(["* 2 passed, 2 rerun in *"])
    (command,) = re.findall(r"\$ pytest (.*)", page)
    pytester.makepyfile(test_mirror=block.replace("@pytest.mark.transient\n", ""))
    pytester.runpytest_subprocess("-p", "no:randomly", *command.split()).assert_outcomes(passed=2)


@pytest.mark.parametrize("name", ["gate", "run", "runs", "locks", "breaker", "demo"])
def test_every_command_has_help_with_an_example(name: str) -> None:
    """--help explains, and shows an example."""
    result = CliRunner().invoke(commands, [name, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
