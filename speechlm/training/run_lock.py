"""One training at a time in a run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speechlm.errors import SpeechLMError

LOCK = "run.lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder; the operating system releases it when the process ends.

    Raises:
        SpeechLMError: when another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise SpeechLMError(
                f"{folder}: another training is running in this folder (process "
                f"{file.read(32).strip() or 'unknown'}); wait for it, or give another training.out"
            ) from None
        except OSError:
            pass  # a file system without locks
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
