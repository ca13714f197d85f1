"""Sort data.txt into report.txt and commit that, as it is often written."""

import subprocess

from pathlib import Path


lines = Path("data.txt").read_text(encoding="utf-8").splitlines(keepends=True)
with Path("report.txt").open("w", encoding="utf-8") as report:
    report.writelines(sorted(lines))
subprocess.run(["git", "add", "report.txt"], check=True)
subprocess.run(["git", "commit", "-q", "-m", "Update the report"], check=True)
