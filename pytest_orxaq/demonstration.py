"""A throw-away repository full of trouble, and what a good gate must say of it."""

from pathlib import Path

from .errors import UsageError
from .model import Cause, RunRecord, Verdict
from .repository import commands


_CONFIGURATION = """\
[tool.orxaq]
checkpoints = ["lint", "test", "fetch", "serve", "commit"]
first-delay = "0.3s"

[tool.orxaq.locks]
release = "elimination"
min-age = "1s"

[tool.orxaq.checkpoint.fetch]
evidence = "exit"

[tool.orxaq.checkpoint.serve]
evidence = "exit"

[tool.orxaq.checkpoint.commit]
evidence = "exit"
"""

_MAKEFILE = """\
PYTHON ?= {python}
.PHONY: lint test fetch serve commit

lint:
\t$(PYTHON) -m compileall -q shop tests

test:
\t$(PYTHON) -m pytest -q -p no:cacheprovider tests

fetch:
\t@sh ./fetch.sh

serve:
\t@$(PYTHON) serve.py

commit:
\tgit add .
"""

_FETCH = """\
# Fails the first time, as a registry that hiccups does, and works the second time.
state="${ORXAQ_ATTEMPT%-*}-seen"
if [ ! -e "$state" ]; then
    : > "$state"
    echo "fatal: unable to access 'https://git.example/shop.git/': Could not resolve host: git.example" >&2
    exit 128
fi
echo "fetched 3 files"
"""

_SERVE = """\
\"\"\"Starts a server in the background, reports success, and forgets to stop it.\"\"\"

import subprocess
import sys


subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)  # a server"], start_new_session=True)
print("the server is up")
"""

_BASKET = """\
\"\"\"A shopping basket.\"\"\"


def total(prices, discount=0):
    \"\"\"The sum of the prices, less a discount in percent.\"\"\"
    return sum(prices) * (100 - discount) // 100
"""

_TESTS = """\
import pytest

from shop.basket import total


def test_empty():
    assert total([]) == 0


def test_sum():
    assert total([1, 2, 3]) == 6


@pytest.mark.parametrize("discount", [0, 15])
def test_discount(discount):
    print(f"a basket of 9.99 with {discount} % off")
    assert total([9.99], discount) == pytest.approx(9.99 * (100 - discount) / 100)
"""

_FILES = {
    "pyproject.toml": _CONFIGURATION,
    "Makefile": _MAKEFILE,
    "fetch.sh": _FETCH,
    "serve.py": _SERVE,
    "shop/__init__.py": "",
    "shop/basket.py": _BASKET,
    "tests/test_basket.py": _TESTS,
    "conftest.py": "",
    ".gitignore": "__pycache__/\n",
}

_AUTHOR = ("-c", "user.name=demo", "-c", "user.email=demo@example.invalid", "-c", "commit.gpgsign=false")


def build(place: Path, *, python: str) -> None:
    """Make the repository in the empty folder *place*; ``UsageError`` if it is not empty."""
    place.mkdir(parents=True, exist_ok=True)
    if any(place.iterdir()):
        raise UsageError(f"{place} is not empty", advice="name a new folder; nothing of yours is ever overwritten")
    for name, text in _FILES.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{python}", python), encoding="utf-8")
    for arguments in (("init", "-q"), ("add", "."), (*_AUTHOR, "commit", "-qm", "A shop")):
        commands.git(place, *arguments).out  # noqa: B018
    (place / ".git" / "index.lock").touch()


def missed(record: RunRecord) -> tuple[str, ...]:
    """What the gate should have said of the demonstration and did not; sentences."""
    by_name = {outcome.checkpoint.name: outcome for outcome in record.outcomes}
    wanted = {
        "lint": (Verdict.PASSED, Cause.PASSED),
        "test": (Verdict.FAILED, Cause.TESTS_FAILED),
        "fetch": (Verdict.FLAKY, Cause.PASSED),
        "serve": (Verdict.PASSED, Cause.PASSED),
        "commit": (Verdict.PASSED, Cause.PASSED),
    }
    wrong = []
    for name, (verdict, cause) in wanted.items():
        outcome = by_name.get(name)
        if outcome is None or not outcome.attempts:
            wrong.append(f"{name} did not run")
        elif (outcome.verdict, outcome.attempts[-1].diagnosis.cause) != (verdict, cause):
            wrong.append(f"{name} is {outcome.verdict.value} ({outcome.attempts[-1].diagnosis.cause.value})")
    serve = by_name.get("serve")
    if serve is not None and serve.attempts and not serve.attempts[-1].exit.leaked:
        wrong.append("the server that serve left running was not noticed")
    recoveries = [each for outcome in record.outcomes for attempt in outcome.attempts for each in attempt.recoveries]
    if not any(each.released for each in recoveries):
        wrong.append("the stale lock was not released")
    return tuple(wrong)
