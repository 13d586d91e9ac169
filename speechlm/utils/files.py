"""Files that are either whole or absent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speechlm.errors import SpeechLMError


def cache() -> Path:
    """The project's folder in the user's cache; what is in it may be deleted at any time."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "speechlm"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary sibling of ``path`` to write to; rename it on success, remove it on failure.

    The temporary name keeps the suffix of ``path``, since writers choose a format by it. The data
    reaches the disk before the rename, so a kill at any moment leaves the old file or the new one.

    Raises:
        SpeechLMError: when the folder of ``path`` does not exist or cannot be written.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent
        )
    except OSError as error:
        raise SpeechLMError(f"{target}: cannot be written: {error.strerror}") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        try:
            os.replace(temporary, target)
        except OSError as error:
            raise SpeechLMError(f"{target}: cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copy a file; the folder of ``target`` is made if there is none.

    Raises:
        SpeechLMError: as :func:`atomic_path` does.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as path:
        shutil.copyfile(source, path)


def remove_unfinished(path: str | Path) -> None:
    """Remove what :func:`atomic_path` left of writes to ``path`` that were killed.

    Only for a file that one process at a time writes: another's unfinished write goes as well.
    """
    target = Path(path)
    for unfinished in target.parent.glob(f".{target.stem}-????????{target.suffix}"):
        unfinished.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
