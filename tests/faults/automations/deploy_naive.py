"""Install a version of app into a folder and make it the current one, as it is often written: deploy.py VERSION."""

import subprocess
import sys

from pathlib import Path


version = sys.argv[1]
release = Path("releases", version)
if not release.exists():
    release.mkdir(parents=True)
    subprocess.run(["pip", "install", "-q", "--target", release, f"app=={version}"], check=True)
current = Path("current")
current.unlink(missing_ok=True)
current.symlink_to(release)
