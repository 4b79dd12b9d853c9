"""A disk on which a process dies: before or after any write, rename, removal or flush.

As a program, `python disk.py N FOLDER MODULE FLAGS` runs a script and kills itself, by SIGKILL, at
its Nth event below a folder. In a process that is to live on, the event raises `Killed`; after it
nothing below the folder changes any more: what a killed process leaves behind.
"""

import builtins
import io
import os
import shutil
import signal
import sys
from contextlib import contextmanager

CALLS = ("mkdir", "rename", "replace", "unlink", "remove", "rmdir", "link", "symlink", "fsync")


class Killed(BaseException):
    """The process would have been killed here."""


class _File:
    """A file that is written unbuffered, so that each write is an event; half of it may arrive."""

    def __init__(self, file, event):
        self.file, self.event = file, event

    def write(self, content):
        self.event()
        half = len(content) // 2
        self.file.write(content[:half])
        self.file.flush()
        self.event()
        self.file.write(content[half:])
        self.file.flush()
        self.event()
        return len(content)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


@contextmanager
def dying(folder, at, kill=None):
    """Counts the events below `folder`; at event `at`, counted from 0, the process dies.

    Yields:
        A function that gives the number of events so far.
    """
    folder, count, dead = os.path.realpath(folder), 0, False

    def event():
        nonlocal count, dead
        if dead:
            raise Killed
        if count == at:
            if kill:
                kill()
            dead = True
            raise Killed
        count += 1

    def below(target, dir_fd=None):
        if isinstance(target, int):
            dir_fd, target = target, ""
        if dir_fd is not None:
            target = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), os.fsdecode(target))
        path = os.path.realpath(os.fsdecode(target))
        return path.startswith(folder) and os.path.basename(path) != ".lock"

    def watched(call):
        def instead(target, *rest, **options):
            if not below(target, options.get("dir_fd")):
                return call(target, *rest, **options)
            event()
            result = call(target, *rest, **options)
            event()
            return result

        return instead

    def opened(path, mode="r", *rest, **options):
        if not set(mode) & set("wax+") or isinstance(path, int) or not below(path):
            return original_open(path, mode, *rest, **options)
        event()
        return _File(original_open(path, mode, *rest, **options), event)

    original_open, earlier = builtins.open, {name: getattr(os, name) for name in CALLS}
    fast = shutil._USE_CP_SENDFILE
    builtins.open = io.open = opened
    shutil._USE_CP_SENDFILE = False  # copies are writes like others
    for name, call in earlier.items():
        setattr(os, name, watched(call))
    try:
        yield lambda: count
    finally:
        builtins.open = io.open = original_open
        shutil._USE_CP_SENDFILE = fast
        for name, call in earlier.items():
            setattr(os, name, call)


if __name__ == "__main__":
    import runpy

    number, where, module = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    sys.argv[1:] = sys.argv[4:]
    with dying(where, number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
