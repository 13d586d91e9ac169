"""Compression: files, folders and streams."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from speechlm.cli.common import (
    STDIN,
    CodecModel,
    Force,
    Json,
    Kbps,
    Threads,
    check_audio,
    check_audio_output,
    finite,
    print_error,
    print_json,
    print_row,
    require_path,
    use_threads,
)
from speechlm.errors import SpeechLMError
from speechlm.utils.files import check_output, is_stdout
from speechlm.utils.inputs import stdin, stdout
from speechlm.utils.terminal import console, visible

if TYPE_CHECKING:
    from speechlm.bitstream import Info
    from speechlm.compression.batch import FileResult

app = typer.Typer()
stream = typer.Typer(
    help="Live coding, from standard input to standard output.", no_args_is_help=True
)

Mode = Annotated[
    str,
    typer.Option(help="vbr: the bitrate holds on average; cbr: it holds in every second."),
]
Quality = Annotated[
    float | None,
    typer.Option(callback=finite, help="0 to 10: constant quality at a variable bitrate."),
]
Packets = Annotated[bool, typer.Option(help="Send each chunk in a numbered packet.")]
Conceal = Annotated[bool, typer.Option(help="Conceal damaged or lost chunks.")]
Jobs = Annotated[int, typer.Option(min=1, help="Files at a time, in a process each.")]
SLM = "a compressed recording"


@app.command()
def compress(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN... OUT",
            help="Audio files or folders, then OUT.slm, or a folder for several. "
            "- is standard input or output.",
        ),
    ],
    kbps: Kbps = None,
    mode: Mode = "vbr",
    max_bytes: Annotated[int | None, typer.Option(min=1, help="Maximum size of a file.")] = None,
    quality: Quality = None,
    model: CodecModel = None,
    force: Force = False,
    jobs: Jobs = 1,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Compress recordings: files, folders, or standard input."""
    from speechlm import bitstream, hub
    from speechlm.compression import batch
    from speechlm.compression.rate_target import RateTarget

    rate = RateTarget(kbps, mode, max_bytes, quality)
    hub.check_codec(model)
    use_threads(threads)
    with _paths(paths, ".slm") as (sources, target):
        pairs = batch.pair_files(sources, target, batch.AUDIO_SUFFIXES, batch.PACKED_SUFFIX)
        for _, out in pairs:
            check_output(out, sources, [bitstream.MAGIC], SLM, force)
        if len(pairs) == 1:
            check_audio(pairs[0][0])
        results = batch.compress_files(pairs, model, rate, jobs, bar=True)
        plain = not results[0].error and results[0].target.is_file()
        real = bitstream.inspect(results[0].target) if plain else None
    _print_results(results, json, real)


@app.command()
def decompress(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN... OUT",
            help=".slm files or folders, then OUT.wav, .flac or .ogg, or a folder for several. "
            "- is standard input or output.",
        ),
    ],
    start: Annotated[float, typer.Option(min=0, callback=finite, help="Seconds to skip.")] = 0,
    seconds: Annotated[
        float | None, typer.Option(min=0, callback=finite, help="Seconds to decode.")
    ] = None,
    format: Annotated[
        str, typer.Option(help="wav, flac or ogg: of files in a folder, and of -.")
    ] = "wav",
    model: CodecModel = None,
    conceal: Conceal = False,
    force: Force = False,
    jobs: Jobs = 1,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Decompress to audio files, all or an excerpt of each."""
    from speechlm import bitstream, hub
    from speechlm.compression import batch

    if format not in ("wav", "flac", "ogg"):
        raise SpeechLMError(f"the format is wav, flac or ogg, not {format}")
    options = batch.DecodeOptions(conceal, start, math.inf if seconds is None else seconds)
    hub.check_codec(model)
    use_threads(threads)
    with _paths(paths, f".{format}") as (sources, target):
        pairs = batch.pair_files(sources, target, [batch.PACKED_SUFFIX], f".{format}")
        for _, out in pairs:
            check_audio_output(out, sources, force)
        if len(pairs) == 1 and pairs[0][0].is_file():
            bitstream.read_header(pairs[0][0])  # refuse other files before torch is loaded
        results = batch.decompress_files(pairs, model, options, jobs, bar=True)
    _print_results(results, json)


@contextmanager
def _paths(paths: Sequence[Path], written: str) -> Iterator[tuple[list[Path], Path]]:
    """Sources and target; a temporary file in place of a target that is standard output."""
    *sources, target = paths
    if not sources:
        raise SpeechLMError(f"{target}: name the files to read, and last the one to write")
    if STDIN in (*sources, target) and (len(sources) > 1 or sources[0].is_dir()):
        raise SpeechLMError("-: stands for one file, not for several")
    if target != STDIN:
        yield sources, target
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"stdout{written}"
        yield sources, copy
        if copy.is_file():
            with copy.open("rb") as file:
                shutil.copyfileobj(file, stdout())
            stdout().flush()


def _print_results(results: Sequence[FileResult], json: bool, real: Info | None = None) -> None:
    """One row for a file, totals for several, one line for each that failed (and status 2)."""
    done = [result for result in results if not result.error]
    seconds = sum(result.stats.seconds for result in done if result.stats)
    compute = sum(result.stats.compute_seconds for result in done if result.stats)
    size = sum(result.bytes for result in done)
    rtf = compute / seconds if seconds else math.nan
    if results[0].target.name.startswith("stdout.") or is_stdout(results[0].target):
        pass  # the figures would be in the output
    elif json:
        files = [
            {
                "source": str(result.source),
                "target": str(result.target),
                "seconds": result.stats and result.stats.seconds,
                "bytes": result.bytes,
                "error": result.error or None,
            }
            for result in results
        ]
        total = {"seconds": seconds, "bytes": size, "rtf": rtf if seconds else None}
        print_json({"files": files, **total})
    elif len(results) == 1 and done:
        stats = done[0].stats
        assert stats is not None
        rates = (
            {}
            if real is None
            else {
                "kbps": f"{real.kbps:.3f}",
                "codebooks": f"{stats.codebooks:.2f}",
            }
        )
        print_row({"seconds": f"{seconds:.2f}", **rates, "bytes": str(size), "RTF": f"{rtf:.4f}"})
    elif len(results) > 1:
        files_done = f"{len(done)} of {len(results)}"
        figures = {"seconds": f"{seconds:.2f}", "bytes": str(size), "RTF": f"{rtf:.4f}"}
        print_row({"files": files_done, **figures})
    for result in results:
        if result.error:
            print_error(result.error)
    if len(done) < len(results):
        raise typer.Exit(2)


@app.command()
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE.slm")],
    chunks: Annotated[bool, typer.Option("--chunks", help="Describe each chunk.")] = False,
    model: Annotated[
        str | None,
        typer.Option(help="Its codec: needed for the bytes by codebook of entropy-coded chunks."),
    ] = None,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Describe a compressed file and where its bits are; needs no model."""
    from speechlm import bitstream

    entropy = None
    if model is not None:
        use_threads(threads)
        from speechlm import codec

        entropy = codec.load(model).entropy
    found = bitstream.inspect(file, entropy, chunks)
    facts = {
        **asdict(found),
        "frame_rate": found.frame_rate,
        "seconds": found.seconds,
        "kbps": found.kbps,
    }
    if json:
        print_json(facts)
        return
    table = Table(show_header=False)
    for name, value in facts.items():
        if name not in ("level_bytes", "each"):
            table.add_row(name, f"{value:.3f}" if isinstance(value, float) else visible(str(value)))
    console.print(table)
    budget = Table("where", "bytes", "kbps")
    for name, size in found.budget.items():
        rate = size * 8e-3 / found.seconds if found.seconds else math.nan
        budget.add_row(name, f"{size:.1f}".removesuffix(".0"), f"{rate:.3f}")
    console.print(budget)
    if chunks:
        parts = Table("from, s", "frames", "levels a frame", "payload", "bytes", "kbps")
        for one in found.each:
            kbps = one.bytes * 8e-3 * found.frame_rate / one.frames if one.frames else math.nan
            start, codebooks = f"{one.start:.2f}", f"{one.codebooks_per_frame:.2f}"
            row = start, f"{one.frames}", codebooks, one.payload, f"{one.bytes}", f"{kbps:.3f}"
            parts.add_row(*row)
        console.print(parts)


@app.command("cat")
def join(
    files: Annotated[list[Path], typer.Argument(metavar="IN.slm ... OUT.slm")],
    force: Force = False,
    json: Json = False,
) -> None:
    """Concatenate files of one model without decoding them. An output that exists is kept."""
    *sources, target = files
    if not sources:
        raise SpeechLMError(f"{target}: name the files to join, and last the one to write")
    # A pattern such as *.slm names a recording last: it is none to be replaced.
    if not force and target.is_file() and target.stat().st_size:
        raise SpeechLMError(f"{target}: exists: name another file, or give --force")
    for source in sources:
        require_path(source)
    from speechlm.compression import files as slm_files

    samples = slm_files.join(sources, target)
    if json:
        print_json({"samples": samples})
    else:
        print_row({"samples": str(samples)})


@stream.command()
def encode(
    kbps: Kbps = None,
    mode: Mode = "cbr",
    quality: Quality = None,
    chunk: Annotated[
        float, typer.Option(min=0.001, callback=finite, help="Seconds a chunk.")
    ] = 0.2,
    packets: Packets = False,
    sample_rate: Annotated[
        int | None, typer.Option(min=1, help="Of the input, Hz; default: the model's.")
    ] = None,
    model: CodecModel = None,
    threads: Threads = 1,
) -> None:
    """Raw 16-bit little-endian mono PCM to .slm, chunk by chunk."""
    from speechlm import hub
    from speechlm.compression.rate_target import RateTarget

    rate = RateTarget(kbps, mode, quality=quality)
    hub.check_codec(model)
    use_threads(threads)
    from speechlm import codec
    from speechlm.compression.files import stream_encode

    stream_encode(stdin(), stdout(), codec.load(model), rate, chunk, packets, sample_rate)


@stream.command()
def decode(
    model: CodecModel = None,
    conceal: Conceal = False,
    packets: Packets = False,
    jitter: Annotated[int, typer.Option(min=0, help="Packets to wait for a missing one.")] = 4,
    threads: Threads = 1,
) -> None:
    """.slm to raw 16-bit mono PCM at the model's sample rate, chunk by chunk."""
    from speechlm import hub

    hub.check_codec(model)
    use_threads(threads)
    from speechlm import codec
    from speechlm.compression.files import stream_decode

    stream_decode(stdin(), stdout(), codec.load(model), conceal, packets, jitter)
