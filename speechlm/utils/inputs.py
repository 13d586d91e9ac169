"""Inputs that can be read once: standard input, pipes and process substitutions."""

from __future__ import annotations

import io
import os
import select
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from speechlm.errors import SpeechLMError

STDIN = "-"
_COPY_BYTES = 1 << 20


class BlockingReader(io.RawIOBase):
    """Reads a file descriptor, which it closes with itself, as if it were blocking.

    A non-blocking standard input, as a parent process may leave it behind, otherwise reads as ended
    whenever no bytes are there yet.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer: Any) -> int:
        while True:
            try:
                data = os.read(self._descriptor, len(buffer))
            except BlockingIOError:
                select.select([self._descriptor], [], [])
                continue
            buffer[: len(data)] = data
            return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._descriptor)


def stdin() -> BinaryIO:
    """Standard input, buffered; blocking whatever its mode is.

    Raises:
        SpeechLMError: when it is closed.
    """
    if sys.stdin is None:
        raise SpeechLMError("standard input is closed")
    try:
        descriptor = os.dup(sys.stdin.fileno())
    except io.UnsupportedOperation:  # replaced by an object of Python, as tests do
        return sys.stdin.buffer
    return cast(BinaryIO, io.BufferedReader(BlockingReader(descriptor)))


def stdout() -> BinaryIO:
    """Standard output, for bytes.

    Raises:
        SpeechLMError: when it is closed.
    """
    if sys.stdout is None:
        raise SpeechLMError("standard output is closed")
    return sys.stdout.buffer


@contextmanager
def open_input(path: str | Path, seekable: bool = False) -> Iterator[BinaryIO]:
    """Open a file, a pipe, or standard input (``-``) for reading.

    Args:
        seekable: copy what can be read only once to an unnamed temporary file first.

    Raises:
        SpeechLMError: when it cannot be opened or copied.
    """
    name = input_name(path)
    try:
        file = stdin() if str(path) == STDIN else _open(path)
    except OSError as error:
        raise SpeechLMError(f"{name}: {error.strerror or error}") from None
    with file:
        if not seekable or file.seekable():
            yield file
            return
        with tempfile.TemporaryFile() as copy:
            try:
                shutil.copyfileobj(file, copy, _COPY_BYTES)
            except OSError as error:
                raise SpeechLMError(
                    f"{name}: cannot be copied to {tempfile.gettempdir()}: {error.strerror}"
                ) from None
            copy.seek(0)
            yield cast(BinaryIO, copy)


def input_name(path: str | Path) -> str:
    """What messages call an input."""
    return "standard input" if str(path) == STDIN else str(path)


def _open(path: str | Path) -> BinaryIO:
    descriptor = os.open(path, os.O_RDONLY)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode) or stat.S_ISBLK(mode) or _is_endless(descriptor, mode):
        os.close(descriptor)
        kind = "a directory" if stat.S_ISDIR(mode) else "a device, not a file"
        raise SpeechLMError(f"{path}: is {kind}")
    if stat.S_ISREG(mode):
        return cast(BinaryIO, io.BufferedReader(io.FileIO(descriptor)))
    return cast(BinaryIO, io.BufferedReader(BlockingReader(descriptor)))


def _is_endless(descriptor: int, mode: int) -> bool:
    """Whether it is a device such as /dev/zero."""
    return stat.S_ISCHR(mode) and not os.isatty(descriptor)
