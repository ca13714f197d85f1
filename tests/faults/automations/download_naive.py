"""Download archives side by side and unpack them, as it is often written: download.py URL..."""

import asyncio
import shutil
import subprocess
import sys
import urllib.request

from pathlib import Path


def get(url: str) -> None:
    folder = Path("data", url.rsplit("/", 1)[1].removesuffix(".tar"))
    if folder.exists():
        return
    folder.mkdir(parents=True)
    archive = folder.with_suffix(".tar")
    with urllib.request.urlopen(url) as answer, archive.open("wb") as file:
        shutil.copyfileobj(answer, file)
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)


async def main() -> None:
    await asyncio.gather(*(asyncio.to_thread(get, url) for url in sys.argv[1:]))


asyncio.run(main())
