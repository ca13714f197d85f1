"""Download archives side by side and unpack them, with nobody watching: download.py URL#SHA256...

What is under its final name is whole, and is what was asked for.
"""

import asyncio
import hashlib
import os
import shutil
import sys
import urllib.request

from pathlib import Path

from pytest_orxaq import Retry, deadline


PATIENCE = float(os.environ.get("PATIENCE", "30"))  # seconds for an answer to begin or go on
AT_ONCE = asyncio.Semaphore(8)


def read(url: str) -> bytes:
    """Whole, or an exception is raised that passes for transient."""
    with urllib.request.urlopen(url, timeout=min(PATIENCE, deadline.remaining() or PATIENCE)) as answer:
        content: bytes = answer.read()
        return content


@Retry(attempts=5)
async def fetch(url: str) -> bytes:
    return await asyncio.to_thread(read, url)


async def unpack(archive: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tar = await asyncio.create_subprocess_exec("tar", "-xf", archive, "-C", folder)
    if await tar.wait():
        raise RuntimeError(f"{archive} cannot be unpacked")


async def get(wanted: str) -> None:
    url, _, checksum = wanted.partition("#")
    folder = Path("data", url.rsplit("/", 1)[1].removesuffix(".tar"))
    if folder.exists():
        return
    async with AT_ONCE:
        content = await fetch(url)
        if hashlib.sha256(content).hexdigest() != checksum:
            raise RuntimeError(f"{url} is not what was asked for")
        archive, unfinished = (folder.with_name(f".{folder.name}.{what}") for what in ("tar", "new"))
        archive.write_bytes(content)
        await unpack(archive, unfinished)
        archive.unlink()
        os.replace(unfinished, folder)


async def main() -> None:
    Path("data").mkdir(exist_ok=True)
    async with asyncio.TaskGroup() as tasks:
        for wanted in sys.argv[1:]:
            tasks.create_task(get(wanted))


with deadline(600):
    asyncio.run(main())
