"""A file system in user space (FUSE) that is nothing but an empty folder, and falls silent when it is told to.

Usage: python userspace.py PLACE   (needs root; says "ready", and after a line of input "silent", which it is from then on)

Speaks as much of the kernel's protocol (include/uapi/linux/fuse.h) as an empty folder needs. It is a process of its
own: who waits for it cannot be killed, and would be waited for by himself.
"""

import ctypes
import os
import struct
import sys
import threading


LOOKUP, FORGET, GETATTR, INIT, ACCESS = 1, 2, 3, 26, 34
ENOENT, ENOSYS = 2, 38
HEAD = struct.Struct("=IIQQIIII")
ATTRIBUTES = struct.Struct("=QIIQQQQQQIIIIIIIIII")


def answer(code: int) -> tuple[int, bytes]:
    """The error and the answer to a question."""
    if code == INIT:
        return 0, struct.pack("=IIIIHHIIHHIQ", 7, 31, 0, 0, 16, 12, 1 << 16, 1, 1, 0, 0, 0) + bytes(16)
    if code == GETATTR:
        return 0, ATTRIBUTES.pack(0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40777, 2, 0, 0, 0, 512, 0)
    if code == ACCESS:
        return 0, b""
    return (ENOENT if code == LOOKUP else ENOSYS), b""


def fall_silent(silent: threading.Event) -> None:
    """Wait for a line of input, and do."""
    sys.stdin.readline()
    silent.set()
    say("silent")


def say(word: str) -> None:
    """Tell whoever started this."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(place: bytes) -> None:
    """Mount it and serve it; the kernel takes it away when this process ends."""
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"empty", place, b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    silent = threading.Event()
    threading.Thread(target=fall_silent, args=(silent,), daemon=True).start()
    say("ready")
    while True:
        question = os.read(descriptor, 1 << 20)
        _, code, unique, *_ = HEAD.unpack_from(question)
        if code != FORGET and not silent.is_set():
            error, content = answer(code)
            os.write(descriptor, struct.pack("=IiQ", 16 + len(content), -error, unique) + content)


if __name__ == "__main__":
    main(os.fsencode(sys.argv[1]))
