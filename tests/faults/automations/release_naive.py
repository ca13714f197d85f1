"""Write VERSION, tag it and push both, as it is often written: release.py VERSION."""

import subprocess
import sys

from pathlib import Path


version = sys.argv[1]
Path("VERSION").write_text(f"{version}\n", encoding="utf-8")
subprocess.run(["git", "add", "VERSION"], check=True)
subprocess.run(["git", "commit", "-q", "-m", f"Release {version}"], check=True)
subprocess.run(["git", "tag", "-a", f"v{version}", "-m", f"Release {version}"], check=True)
subprocess.run(["git", "push", "-q", "origin", "main", f"v{version}"], check=True)
