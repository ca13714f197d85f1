"""Run the tests of retries with each pytest that is supported, and beside other plugins.

Usage: python benchmarks/rerun_matrix.py [VERSION…]   (needs a package index the first time)
"""

import os
import re
import subprocess
import sys

from pathlib import Path


ROOT = Path(__file__).parent.parent
ROOMS = ROOT / "build" / "rerun-matrix"
# pytest, what is installed with it, and which tests are run with it
ALWAYS = ("pytest-xdist", "pytest-timeout", "pytest-asyncio", "anyio", "psutil")
FILES = ("tests/test_rerun.py", "tests/rerun_peers.py")
MATRIX = {
    "8.4": ("pytest==8.4.*", "pytest-subtests"),  # subtests are part of pytest from 9.0 on
    "9.0": ("pytest==9.0.*",),
    "9.1": ("pytest==9.1.*",),
    "9.2": ("pytest==9.2.*",),
    "rerunfailures": ("pytest==9.2.*", "pytest-rerunfailures"),
    "retry": ("pytest==9.2.*", "pytest-retry"),
    "flaky": ("pytest==9.2.*", "flaky"),
}
OTHERS = {"rerunfailures", "retry", "flaky"}  # the suite's stand-ins for these bear their names


def room(name: str) -> str:
    """An environment with one pytest and our package from the checkout; its interpreter."""
    python = str(ROOMS / name / "bin" / "python")
    if not Path(python).exists():
        subprocess.run([sys.executable, "-m", "venv", str(ROOMS / name)], check=True, timeout=300)
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--editable", str(ROOT), *ALWAYS, *MATRIX[name]], check=True, timeout=600)
    return python


def main() -> int:
    """Run all, print a table; fail if any of it did."""
    lines, worst = [], 0
    for name in sys.argv[1:] or MATRIX:
        python = room(name)
        files = FILES[1:] if name in OTHERS else FILES
        configuration = ["-c", os.devnull, f"--rootdir={ROOT}", "--import-mode=importlib", "-n2", "-q", "-ra"]
        done = subprocess.run(
            [python, "-m", "pytest", *configuration, *files],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        if done.returncode:
            print(done.stdout[-20000:], done.stderr[-5000:])
        version = subprocess.run([python, "-m", "pytest", "--version"], capture_output=True, text=True, check=True)
        closing = re.sub(r"^=+ | =+$", "", done.stdout.strip().splitlines()[-1])
        lines.append(f"{name:14} {version.stdout.strip():14} {closing}")
        worst = max(worst, done.returncode)
        print(lines[-1], file=sys.stderr)
    print("\n".join(lines))
    return worst


if __name__ == "__main__":
    sys.exit(main())
