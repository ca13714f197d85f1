"""Recipes whose failure cannot reach make; above all, no alarm on ordinary ones."""

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_orxaq.core.recipes import masked, recipe


ORDINARY = r"""
pytest
@pytest -q
$(PYTHON) -m pytest tests 2>&1
pytest >out.log 2>&1
>&2 echo running; pytest
pytest &>out.log
cd docs && make html
cd docs; make html
mkdir -p build; cmake --build build
ruff check . && ruff format --check .
find . -name '*.sh' | xargs shellcheck
git ls-files '*.py' | xargs $(PYTHON) -m pyflakes
set -o pipefail; pytest | tee log
set -euo pipefail; pytest | tee log; echo done
set -o pipefail && pytest | tee log
set -e; ruff check .; mypy .
set -x -e; ruff check .; mypy .
set -o errexit; ruff check .; mypy .
echo "a | b; c"
@echo 'running; tests' && pytest
pytest -k "a and not b" || exit 1
pytest || false
pytest || (echo failed; exit 1)
pytest || { echo failed; exit 1; }
pytest || echo failed && exit 1
pytest; status=$$?; docker compose down; exit $$status
pytest || [ $$? -eq 5 ]
for f in *.sh; do shellcheck $$f; done
if [ -f x ]; then pytest; fi
test -d .venv || python -m venv .venv
[ -d .venv ] || python -m venv .venv
which ruff || pip install ruff
@command -v ruff >/dev/null 2>&1 || { echo "no ruff"; exit 1; }
-rm -rf build
-@rm -f *.o
-$(RM) -r build
-docker rm -f db
-find . -name '*.pyc' -delete
$(call run,pytest | cat)
$(foreach d,$(DIRS),make -C $(d);)
go list ./... | xargs go vet
go vet ./...; # done
. .venv/bin/activate; pytest
source .venv/bin/activate && pytest
FOO=1 BAR=2 pytest -x
! grep -rn 'print(' src | grep -v noqa
test -z "$$(gofmt -l .)"
docker stop db || true
pip install -q -r req.txt | grep -v satisfied; pytest
python -m pip install -q x || true; pytest
$(MAKE) -C sub test
npm run lint -- --max-warnings 0
python -c 'import a; print(a | 1)'
./server & sleep 1 && pytest
curl -sf http://localhost:80 | python -m json.tool
cat a.txt b.txt | sort | uniq -c | ./check
pytest "a;b" 'c|d' e\;f
time pytest
pytest  # ok; or | not
# pytest | cat
xargs -0 black --check < files
rm -f x; pytest
pytest 'an open quote | cat
""".strip().splitlines()

MASKED = {
    "false | cat": "false",
    "pytest | tee log": "pytest",
    "pytest 2>&1 | tee log": "pytest",
    "$(PYTHON) -m pytest |& tee log": "pytest",
    "pytest; echo done": "pytest",
    "ruff check .; mypy .": "ruff",
    "pytest || true": "pytest",
    "pytest || :": "pytest",
    "pytest || echo failed": "pytest",
    "pytest || exit 0": "pytest",
    "pytest || echo a || true": "pytest",
    "pytest && echo ok || echo bad": "pytest",
    "pytest && echo ok; echo done": "pytest",
    "cd x && pytest || true": "pytest",
    "pytest &": "pytest",
    "ruff check . & mypy . & wait": "ruff",
    "mypy src | grep error | cat": "mypy",
    "env FOO=1 pytest | cat": "pytest",
    "$(VENV)/bin/pytest || true": "pytest",
    "set +x; pytest; echo done": "pytest",
    "set -x; pytest | cat": "pytest",
    "set -o pipefail; pytest | cat || true": "pytest",
    "./server & sleep 1; pytest; kill $$!": "pytest",
    "go vet ./... | tee log": "go",
    "FOO=1 ./check.sh; rm -f x": "check.sh",
    "FOO=1 env python3 -m pytest | cat": "pytest",
    "set -o pipefail; pytest |& cat || true": "pytest",
    "pytest || true; mypy src": "pytest",
    "g++ -c x.cc | tee log": "g++",
}


def makefile(*lines: str, head: str = "") -> str:
    """A Makefile whose target `test` has this recipe."""
    return f"{head}\n.PHONY: test\ntest:\n" + "".join(f"\t{line}\n" for line in lines)


@pytest.mark.parametrize("line", ORDINARY, ids=repr)
def test_ordinary_recipes(line: str) -> None:
    """Nothing is said about a recipe whose failure reaches make, or that is not plain."""
    assert masked(makefile(line), "test") == ""


@pytest.mark.parametrize("line", MASKED, ids=repr)
def test_masked_recipes(line: str) -> None:
    """The program whose exit code is lost is named, with the line as written."""
    assert masked(makefile("echo first", f"@{line}"), "test") == f"`{line}`: the exit code of `{MASKED[line]}` is lost"


@pytest.mark.parametrize("prefix", ["-", "@-", "-@", "- "])
def test_ignored_by_a_dash(prefix: str) -> None:
    """A dash makes make ignore the failure of a check."""
    assert masked(makefile(f"{prefix}mypy src"), "test") == "`-mypy src`: the dash makes make ignore its failure"


@pytest.mark.parametrize(
    ("head", "line", "said"),
    [
        (".SHELLFLAGS = -ec", "ruff check .; mypy .", False),
        (".SHELLFLAGS := -eu -o pipefail -c", "pytest | tee log", False),
        ("SHELL := /bin/bash -o pipefail", "pytest | tee log", False),
        (".POSIX:", "ruff check .; mypy .", False),
        (".POSIX:", "pytest | tee log", True),
        (".SHELLFLAGS = -ec", "pytest | tee log", True),
        (".SHELLFLAGS = -ec", "pytest || true", True),
        ("SHELL := /bin/bash", "pytest | tee log", True),
        ("SHELL=/bin/bash\n.SHELLFLAGS=-ec", "ruff check .; mypy .", False),
        ("# lint and test\n.POSIX:", "ruff check .; mypy .", False),
    ],
)
def test_the_shell_that_make_uses(head: str, line: str, said: bool) -> None:
    """Flags of the shell for the whole Makefile are respected."""
    assert bool(masked(makefile(line, head=head), "test")) is said


def test_one_shell_for_all_lines() -> None:
    """With .ONESHELL only the last line's exit code counts, unless the shell stops at the first failure."""
    assert "`pytest` is lost" in masked(makefile("pytest", "@echo done", head=".ONESHELL:"), "test")
    assert masked(makefile("cd x", "pytest", head=".ONESHELL:"), "test") == ""
    assert masked(makefile("pytest", "echo done", head=".ONESHELL:\n.SHELLFLAGS = -ec"), "test") == ""
    assert masked(".ONESHELL:\n", "test") == ""
    assert "`pytest` is lost" in masked(makefile("pytest", "echo done", head="# note\n.ONESHELL:"), "test")


def test_prefixes_within_one_shell() -> None:
    """With .ONESHELL the first line's dash counts; prefixes of the lines after it are no part of their programs."""
    assert masked(makefile("cd x", "@echo hello", "-@rm -f y", "pytest", head=".ONESHELL:"), "test") == ""
    assert "the dash makes make ignore" in masked(makefile("-mypy src", "true", head=".ONESHELL:"), "test")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("test:\n\tpytest\n", ("pytest",)),
        ("test: build ## Run; all | tests\n\tpytest\n", ("pytest",)),
        ("all test: x\n\ta\n\n# note\n\tb\nother:\n\tc\n", ("a", "b")),
        ("test::\n\ta\n", ("a",)),
        ("test:\n\ta\n  # note\n\tb\n", ("a", "b")),
        ("test: ; pytest -q\n\tmore\n", ("pytest -q", "more")),
        ("test:\n\tpytest \\\n\t  -q\n", ("pytest -q",)),
        ("test: export FOO = a;b\ntest:\n\ta\n", ("a",)),
        ("test: private X := 1; y\n", ()),
        ("test: build\ntest:\n\ta\n", ("a",)),
        ("test := 1\n", ()),
        ("tests:\n\ta\n", ()),
        ("\ttest:\n\ta\n", ()),
        ("# test:\n\ta\n", ()),
        ("", ()),
    ],
    ids=repr,
)
def test_recipe(text: str, lines: tuple[str, ...]) -> None:
    """The recipe of an explicit rule: its lines, continued ones joined, also behind a semicolon."""
    assert recipe(text, "test") == lines


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet="test:;|&\n\t\\ 'ab$()-@#=", max_size=120), st.text(max_size=8))
def test_any_makefile_is_read(text: str, target: str) -> None:
    """No text makes the readers fail."""
    assert isinstance(masked(f"test:\n\t{text}", "test"), str)
    recipe(text, target)
