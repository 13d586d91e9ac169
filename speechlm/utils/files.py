"""Files that are either whole or absent, and outputs that are not plain files."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from speechlm.errors import SpeechLMError

fcntl: Any
try:
    import fcntl
except ImportError:  # not a POSIX system: what a killed run left is then not removed
    fcntl = None

_NAME_BYTES = 255
_SUFFIX_BYTES = 32
_UNFINISHED = re.compile(r"\..*-[a-z0-9_]{8}\.part(\..*)?", re.DOTALL)
_DESCRIPTOR = re.compile(r"/(?:dev/fd|proc/[^/]+/fd)/(\d+)")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_cleaned: set[Path] = set()


def cache() -> Path:
    """The project's folder in the user's cache; what is in it may be deleted at any time."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "speechlm"


def describe(error: OSError, path: object = None) -> str:
    """One line: the file that the error is about, and the system's reason."""
    name = error.filename if path is None else path
    reason = " ".join(str(error.strerror or error).split())
    return reason if name is None or isinstance(name, int) else f"{name}: {reason}"


def make_folder(folder: str | Path) -> Path:
    """Create a folder with its parents, unless it is there.

    Raises:
        SpeechLMError: when it cannot be created.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpeechLMError(f"{folder}: cannot be created: {error.strerror}") from None
    return folder


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary sibling of ``path`` to write to; rename it on success, remove it on failure.

    The temporary name keeps the suffix of ``path``, since writers choose a format by it. The data
    reaches the disk before the rename, so a kill at any moment leaves the old file or the new one.
    What a killed run left in the folder is removed by the next run that writes there.

    A link is followed, and a file that is replaced keeps its permissions. What is no file, such as
    a device or a FIFO, gets the data written into it, once they are complete.

    Raises:
        SpeechLMError: when the folder of ``path`` does not exist, the file cannot be written, or
            the system refuses to write it (no space, a quota, an error of the disk).
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        special = is_special(target)
        follow = target.is_symlink() and not special
        real = Path(os.path.realpath(target)) if follow else target
        if not special and real.is_symlink():
            raise SpeechLMError(f"{target}: is a link that leads in a circle")
        if not special and real.is_dir():
            raise SpeechLMError(f"{target}: is a directory")
        if not special and real.exists() and not os.access(real, os.W_OK):
            raise SpeechLMError(f"{target}: cannot be written: Permission denied")
        folder = Path(tempfile.gettempdir()) if special else real.parent
        remove_unfinished(folder)
        descriptor, temporary = _create(folder, target)
    except OSError as error:
        raise SpeechLMError(f"{target}: cannot be written: {error.strerror}") from None
    try:
        yield temporary
        if special:
            _copy_into(temporary, target)
        else:
            temporary.chmod(_mode(real))
            os.fsync(descriptor)
            with temporary.open("rb") as written:  # another file, if a library replaced it
                os.fsync(written.fileno())
            os.replace(temporary, real)
    except BrokenPipeError:
        raise
    except OSError as error:
        about = error.filename if error.filename is not None else temporary
        if str(about) == str(temporary):
            raise SpeechLMError(f"{target}: cannot be written: {error.strerror or error}") from None
        raise SpeechLMError(describe(error)) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        os.close(descriptor)


def copy(source: Path, target: Path) -> None:
    """Copy a file; the folder of ``target`` is created if there is none.

    Raises:
        SpeechLMError: as :func:`atomic_path` does.
    """
    make_folder(target.parent)
    with atomic_path(target) as path:
        shutil.copyfile(source, path)


def is_special(path: str | Path) -> bool:
    """Whether an output is a device, a FIFO or an open descriptor, which a file cannot replace."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def is_stdout(path: str | Path) -> bool:
    """Whether a path names standard output, as /dev/stdout does."""
    return _descriptor(path) == 1


def check_output(
    target: Path, sources: Sequence[Path], starts: Sequence[bytes], kind: str, force: bool = False
) -> None:
    """Refuse to replace an input, or a file of another kind, unless that is wanted.

    Args:
        target: the output.
        sources: the inputs.
        starts: how files of its kind begin.
        kind: what they are, for the message.
        force: replace it whatever it is.

    Raises:
        SpeechLMError: when it would be replaced.
    """
    if force or not target.is_file() or is_special(target):
        return
    for source in sources:
        if source.exists() and source.samefile(target):
            raise SpeechLMError(f"{target}: is an input, too: name another file, or give --force")
    try:
        with target.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise SpeechLMError(f"{target}: {error.strerror}") from None
    if head and not head.startswith(tuple(starts)):
        raise SpeechLMError(
            f"{target}: holds something else than {kind}: name another file, or give --force"
        )


def remove_unfinished(folder: Path) -> None:
    """Remove what runs that were killed left of their writes to ``folder``; once in a process.

    What another run is writing now is locked, and stays.
    """
    folder = folder.absolute()
    if fcntl is None or folder in _cleaned:
        return
    _cleaned.add(folder)
    with suppress(OSError), os.scandir(folder) as entries:
        names = [entry.path for entry in entries if _UNFINISHED.fullmatch(entry.name)]
        for name in names:
            with suppress(OSError):
                descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    Path(name).unlink()
                finally:
                    os.close(descriptor)


def _create(folder: Path, target: Path) -> tuple[int, Path]:
    """A new temporary file, locked as long as its descriptor is open."""
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _SUFFIX_BYTES else ""
    end = f".part{suffix}"
    room = _NAME_BYTES - len(os.fsencode(f".-12345678{end}"))
    stem = os.fsdecode(os.fsencode(target.stem)[:room]).encode("utf-8", "ignore").decode()
    while True:
        descriptor, name = tempfile.mkstemp(prefix=f".{stem}-", suffix=end, dir=folder)
        if fcntl is None:
            break
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if Path(name).exists():
            break
        os.close(descriptor)  # another run took it for unfinished before it was locked
    return descriptor, Path(name)


def _copy_into(temporary: Path, target: Path) -> None:
    descriptor = _descriptor(target)
    with (
        temporary.open("rb") as source,
        target.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb") as file,
    ):
        shutil.copyfileobj(source, file)


def _descriptor(path: str | Path) -> int | None:
    """The number of the open file that a path such as /dev/stdout names."""
    name = str(path)
    match = _DESCRIPTOR.fullmatch(name)
    return int(match[1]) if match else _STANDARD.get(name)


def _mode(path: Path) -> int:
    """The permissions of a file, or those of a new one."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
