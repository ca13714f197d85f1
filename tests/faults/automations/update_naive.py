"""Pin a newer version in requirements.txt and push that, as it is often written: update.py NAME VERSION."""

import re
import subprocess
import sys

from pathlib import Path


name, version = sys.argv[1:]
path = Path("requirements.txt")
subprocess.run(["git", "pull", "-q"], check=True)
path.write_text(re.sub(rf"(?m)^{name}==.*$", f"{name}=={version}", path.read_text(encoding="utf-8")), encoding="utf-8")
subprocess.run(["git", "commit", "-q", "-a", "-m", f"Update {name} to {version}"], check=True)
subprocess.run(["git", "push", "-q"], check=True)
