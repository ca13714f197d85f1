"""Places are found in tracebacks, whoever wrote them."""

import time

import pytest

from hypothesis import given
from hypothesis import strategies as st

from pytest_orxaq.core.frames import Frame, foreign, frames, innermost_own


PYTEST_LONG = """\
    def test_a():
>       outer()

tests/test_a.py:7:
_ _ _ _ _ _ _ _ _

    async def outer():
>       raise KeyError("see lib/other.py:3: in nowhere")
E       KeyError: 'see'
E       other.py:9: error
E         File "quoted.py", line 3, in quoted

src/pkg/mod.py:12: KeyError"""

PYTHON = """\
Traceback (most recent call last):
  File "/work/app.py", line 3, in <module>
    main()
  File "/usr/lib/python3.12/json/decoder.py", line 338, in decode
    obj, end = self.raw_decode(s)
ValueError: no"""

JVM = """\
java.lang.AssertionError: expected 1
\tat org.junit.Assert.fail(Assert.java:88)
\tat com.shop.CartTest.total(CartTest.java:21)"""

JAVASCRIPT = """\
AssertionError: expected
    at total (/app/src/cart.js:10:5)
    at /app/test/cart.test.js:4:3
    at node:internal/process:1:1"""

GO = """\
panic: no
main.total(...)
\t/app/cart.go:12 +0x1d
main.main()
\t/app/main.go:5 +0x20"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (PYTEST_LONG, [("tests/test_a.py", 7, "test_a"), ("src/pkg/mod.py", 12, "outer")]),
        ("tests/test_a.py:7: in test_a\n    f()\nE   assert 0", [("tests/test_a.py", 7, "test_a")]),
        (PYTHON, [("/work/app.py", 3, "<module>"), ("/usr/lib/python3.12/json/decoder.py", 338, "decode")]),
        ('E     File "/work/t.py", line 1\nE       def f(\nE   SyntaxError: no', [("/work/t.py", 1, "")]),
        (JVM, [("CartTest.java", 21, "com.shop.CartTest.total"), ("Assert.java", 88, "org.junit.Assert.fail")]),
        (
            JAVASCRIPT,
            [("node:internal/process", 1, ""), ("/app/test/cart.test.js", 4, ""), ("/app/src/cart.js", 10, "total")],
        ),
        (GO, [("/app/main.go", 5, ""), ("/app/cart.go", 12, "")]),
        ("src/a.c:3:14: error: no", [("src/a.c", 3, "")]),
        ("C:\\work\\t.py:3: AssertionError", [("C:\\work\\t.py", 3, "")]),
        ("a" * 2000 + ".py:3: x", []),
        ("a" * 2000 + ".py:3: x\nb.py:4: y", [("b.py", 4, "")]),
        ("12:30:05 nothing", []),
    ],
)
def test_places(text: str, found: list[tuple[str, int, str]]) -> None:
    """Outermost first, whatever the order in which a language prints them; quoted tracebacks do not count."""
    assert [(f.path, f.line, f.function) for f in frames(text)] == found


def test_the_innermost_own_place() -> None:
    """The deepest place in the repository wins; installed packages and the language do not count."""
    places = [Frame(path=p, line=1) for p in ("z.py", "a.py", "b.py", ".venv/x.py", "c.py")]
    known = {"z.py", "a.py", "b.py", ".venv/x.py"}
    assert innermost_own(places, known.__contains__) == Frame(path="b.py", line=1)
    assert innermost_own(places, set[str]().__contains__) is None


@pytest.mark.parametrize(
    ("path", "is_foreign"),
    [
        ("/v/lib/python3.12/site-packages/x.py", True),
        ("C:\\Python\\Lib\\site-packages\\x.py", True),
        ("/usr/lib/python3.11/json/__init__.py", True),
        ("node_modules/x/y.js", True),
        ("<string>", True),
        ("src/lib/a.py", False),
        ("tests/test_venv.py", False),
    ],
)
def test_foreign_paths(path: str, is_foreign: bool) -> None:
    """A path says by its folders that it is not the repository's own."""
    assert foreign(path) is is_foreign


@given(st.text())
def test_any_text_has_frames_or_none(text: str) -> None:
    """Nothing that a test prints makes the search fail."""
    assert all(frame.line >= 0 and frame.path for frame in frames(text))


@pytest.mark.parametrize(
    "line", ["\tat " + "a." * 450, "    at " + "a (" * 300, "a" * 900 + ".p" * 40, "  " + "/a.go" * 180, "def " * 240]
)
def test_a_hostile_flood_costs_its_length(line: str) -> None:
    """A traceback full of lines that are almost frames does not stop the report."""
    began = time.monotonic()
    frames(f"{line}\n" * 500)
    assert time.monotonic() - began < 20
