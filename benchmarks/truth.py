"""Have the product meet every fault whose truth is known, print what it made of each, and write docs/faults/truth.md.

Usage: python benchmarks/truth.py [PYTEST ARGUMENTS]
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

from pathlib import Path
from types import ModuleType


TESTS = Path(__file__).parent.parent / "tests" / "truths"


def cases() -> ModuleType:
    """The table of cases, as a module."""
    spec = importlib.util.spec_from_file_location("cases", TESTS / "cases.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(TESTS)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for what annotations mean
    spec.loader.exec_module(module)
    return module


def answers(junit: Path) -> dict[str, str]:
    """What was answered, by the case's id; a case that could not be made here has its reason."""
    found = {}
    for case in ET.parse(junit).iter("testcase"):  # noqa: S314 - pytest has written it just now
        name = case.get("name", "").partition("[")[2].removesuffix("]")
        told = [p.get("value", "") for p in case.iter("property") if p.get("name") == "answer"]
        skipped = [each.get("message", "") for each in case.iter("skipped")]
        found[name] = (*told, *(f"not made here: {reason}" for reason in skipped), "no answer")[0]
    return found


def main() -> int:
    """Run the tests, print the table, write the page; pytest's own exit code."""
    table = cases()
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "truth.xml"
        command = (sys.executable, "-m", "pytest", "-q", str(TESTS), f"--junitxml={junit}", *sys.argv[1:])
        if table.PAGE.read_text(encoding="utf-8") != table.page():
            table.PAGE.write_text(table.page(), encoding="utf-8")
        environment = {**os.environ, "ORXAQ_WHOLE_TRUTH": "1"}
        code = subprocess.run(command, env=environment, check=False).returncode
        found = answers(junit) if junit.exists() else {}
    agreeing = 0
    for case in table.CASES:
        answer = found.get(case.id, "not chosen")
        agrees = answer == case.expected
        agreeing += agrees
        made = case.id in found and not answer.startswith("not made")
        mark = (
            "agrees" if agrees else "as known, differs" if answer == case.answer else "DIFFERS" if made else "not made"
        )
        met = f"{case.subject}{f' ({case.program})' if case.program else ''}"
        print(f"{case.fault} {case.kind} | {case.truth} | {met} | {answer} | {mark}")
    print(f"{len(table.CASES)} cases, {agreeing} agree with the truth")
    return code


if __name__ == "__main__":
    sys.exit(main())
