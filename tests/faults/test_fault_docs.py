"""What docs/faults/ shows is true: each block of tests in it runs in a project of its own, and passes."""

import re

from pathlib import Path

import pytest


DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "faults.md", *sorted((DOCS / "faults").glob("*.md"))]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_runs(pytester: pytest.Pytester, page: Path) -> None:
    """As it stands; none is skipped on this machine, and no page is without one."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    for number, block in enumerate(blocks, 1):
        (pytester.path / f"test_block{number}.py").write_text(block, encoding="utf-8")
    result = pytester.runpytest_subprocess("--import-mode=importlib", "--basetemp=tmp", "-rs")
    assert result.ret == 0
    assert result.parseoutcomes().keys() == {"passed"}
    assert result.parseoutcomes()["passed"] >= len(blocks)
