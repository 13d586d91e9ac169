"""Compression and decompression of many files and folders, in several processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from speechlm.compression.rate_target import CodingStats, RateTarget
from speechlm.errors import SpeechLMError
from speechlm.utils.files import make_folder
from speechlm.utils.inputs import STDIN
from speechlm.utils.processes import processes, progress

if TYPE_CHECKING:
    from speechlm.codec import Codec

Options = TypeVar("Options")

AUDIO_SUFFIXES = ".wav", ".flac", ".ogg", ".mp3", ".opus", ".m4a", ".aac", ".webm"
PACKED_SUFFIX = ".slm"


@dataclass(frozen=True)
class FileResult:
    """What became of a file: ``stats`` and the ``bytes`` of the target, or a one-line ``error``."""

    source: Path
    target: Path
    stats: CodingStats | None = None
    bytes: int = 0
    error: str = ""


@dataclass(frozen=True)
class DecodeOptions:
    """How files are decoded: see :func:`speechlm.compression.files.decompress`."""

    conceal: bool = False
    start: float = 0.0
    seconds: float = math.inf


def pair_files(
    sources: Sequence[Path], target: Path, accepted: Sequence[str], suffix: str
) -> list[tuple[Path, Path]]:
    """Sources with their targets. One file goes to the file ``target``, unless that is a folder.

    Several files, or folders, go to files ending in ``suffix`` under the folder ``target``; what is
    in a folder keeps its path relative to it. In folders, only files whose names end in one of
    ``accepted`` count.

    Raises:
        SpeechLMError: when a source does not exist, a folder holds no such file, two sources have
            the same target, or a source is its own target.
    """
    for source in sources:
        if not source.exists() and str(source) != STDIN:
            raise SpeechLMError(f"{source}: no such file")
    if len(sources) == 1 and not sources[0].is_dir() and not target.is_dir():
        pairs = [(sources[0], target)]
    else:
        pairs = []
        for source in sources:
            found = _files(source, accepted)
            base = source if source.is_dir() else source.parent
            pairs += [(file, target / file.relative_to(base).with_suffix(suffix)) for file in found]
    taken: dict[Path, Path] = {}
    for source, out in pairs:
        if out in taken:
            raise SpeechLMError(f"{source}: has the same target as {taken[out]}: {out}")
        if out.exists() and source.exists() and out.samefile(source):
            raise SpeechLMError(f"{source}: is its own target: name another")
        taken[out] = source
    return pairs


def compress_files(
    pairs: Sequence[tuple[Path, Path]],
    model: str | None = None,
    rate: RateTarget | None = None,
    jobs: int = 1,
    bar: bool = False,
) -> list[FileResult]:
    """Compress each source into its target, in ``jobs`` processes of one thread each.

    A file that cannot be compressed does not stop the others: its result holds the error. With
    ``bar``, several files show a progress bar.

    Raises:
        SpeechLMError: when the model cannot be loaded.
    """
    return _run(pairs, jobs, bar, _compress, model, rate or RateTarget())


def decompress_files(
    pairs: Sequence[tuple[Path, Path]],
    model: str | None = None,
    options: DecodeOptions | None = None,
    jobs: int = 1,
    bar: bool = False,
) -> list[FileResult]:
    """Decompress each source into its target, as :func:`compress_files` compresses."""
    return _run(pairs, jobs, bar, _decompress, model, options or DecodeOptions())


def _files(source: Path, accepted: Sequence[str]) -> list[Path]:
    if not source.is_dir():
        return [source]
    found = sorted(
        path for path in source.rglob("*") if path.suffix.lower() in accepted and path.is_file()
    )
    if not found:
        raise SpeechLMError(f"{source}: holds no file ending in {', '.join(accepted)}")
    return found


def _run(
    pairs: Sequence[tuple[Path, Path]],
    jobs: int,
    bar: bool,
    work: Callable[[Path, Path, Codec, Options], FileResult],
    model: str | None,
    options: Options,
) -> list[FileResult]:
    jobs = min(jobs, len(pairs))
    if len(pairs) > 1:
        for _, target in pairs:
            make_folder(target.parent)
    results: dict[Path, FileResult] = {}
    with _bar(len(pairs) if bar else 1) as advance:
        if jobs > 1:
            with processes(jobs) as pool:
                futures = [
                    pool.submit(_in_worker, work, source, target, model, options)
                    for source, target in pairs
                ]
                for future in as_completed(futures):
                    result = future.result()
                    results[result.source] = result
                    advance(result.source.name)
        else:
            codec = _load(model)
            for source, target in pairs:
                results[source] = work(source, target, codec, options)
                advance(source.name)
    return [results[source] for source, _ in pairs]


@contextmanager
def _bar(total: int) -> Iterator[Callable[[str], None]]:
    if total > 1:
        with progress("", total) as advance:
            yield advance
    else:
        yield lambda name: None


def _load(model: str | None) -> Codec:
    from speechlm.codec.load import load

    return load(model)


def _size(target: Path) -> int:
    """Bytes of a file; what was written into a pipe or a device is not known."""
    return target.stat().st_size if target.is_file() else 0


_load_once = cache(_load)  # in a worker process


def _in_worker(
    work: Callable[[Path, Path, Codec, Options], FileResult],
    source: Path,
    target: Path,
    model: str | None,
    options: Options,
) -> FileResult:
    return work(source, target, _load_once(model), options)


def _compress(source: Path, target: Path, codec: Codec, rate: RateTarget) -> FileResult:
    from speechlm.compression.files import compress

    try:
        stats = compress(source, target, codec, rate)
    except SpeechLMError as error:
        return FileResult(source, target, error=str(error))
    return FileResult(source, target, stats, _size(target))


def _decompress(source: Path, target: Path, codec: Codec, options: DecodeOptions) -> FileResult:
    from speechlm.compression.files import decompress

    try:
        stats = decompress(source, target, codec, options.conceal, options.start, options.seconds)
    except SpeechLMError as error:
        return FileResult(source, target, error=str(error))
    return FileResult(source, target, stats, _size(target))
