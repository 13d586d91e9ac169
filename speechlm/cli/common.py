"""What the subcommands share: consoles, options, threads and the printing of figures."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import typer
from rich.table import Table

from speechlm.errors import SpeechLMError
from speechlm.utils.files import check_output
from speechlm.utils.terminal import console, errors, visible

Number = TypeVar("Number")

STDIN = Path("-")
AUDIO_STARTS = {".wav": (b"RIFF", b"RF64"), ".flac": (b"fLaC", b"ID3"), ".ogg": (b"OggS",)}
"""How the files begin that may be replaced by one of a format."""

Force = Annotated[
    bool, typer.Option("--force", help="Replace an output that is an input, or of another kind.")
]


def finite(param: typer.CallbackParam, value: Number) -> Number:
    """An option that must be a number: NaN and infinity are refused."""
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if isinstance(number, float) and not math.isfinite(number):
            raise SpeechLMError(f"{param.opts[0]} is a finite number, not {number}")
    return value


Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Settings that override the file: key=value ...")
]
Shard = Annotated[
    str,
    typer.Option(metavar="I/N", help="Process only the I-th of N parts, on any machine."),
]
CodecModel = Annotated[
    str | None,
    typer.Option("--model", help="Folder, shipped name, hub id or peer; default: codec-16k."),
]
Kbps = Annotated[
    float | None, typer.Option(callback=finite, help="Bitrate; default: all codebooks.")
]
AUDIO_HELP = "Any audio file; - is standard input."
AudioIn = Annotated[Path, typer.Argument(metavar="IN", help=AUDIO_HELP)]
AudioOut = Annotated[Path, typer.Argument(metavar="OUT", help="WAV, FLAC or OGG.")]


def use_threads(number: int) -> None:
    """Limit the threads of every numeric library; torch is not imported for that."""
    os.environ["OMP_NUM_THREADS"] = str(number)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(number)


def check_yaml(path: Path, overrides: list[str]) -> None:
    """Refuse a file or overrides that cannot be read before torch is loaded."""
    from speechlm import config

    config.load_yaml(path, overrides)


def require_path(path: Path) -> None:
    """Refuse a path that does not exist before torch is loaded."""
    if not path.exists():
        raise SpeechLMError(f"{path}: no such file or folder")


def require_corpus(path: Path) -> None:
    """Refuse what is no prepared corpus before torch is loaded."""
    require_folder(path)
    if not (path / "corpus.json").is_file():
        raise SpeechLMError(f"{path}: not a prepared corpus; make one with speechlm prepare NAME")


def require_folder(path: Path) -> None:
    """Refuse what is no folder before torch is loaded."""
    if not path.is_dir():
        raise SpeechLMError(f"{path}: no such folder")


def check_audio(path: Path) -> None:
    """Refuse what is no audio before torch is loaded; a pipe is not read for that."""
    from speechlm import audio

    if path.is_file() or (path != STDIN and not path.exists()) or path.is_dir():
        audio.info(path)


def check_audio_output(target: Path, sources: Sequence[Path], force: bool) -> None:
    """Refuse to replace an input, or what is no audio file of the format."""
    starts = AUDIO_STARTS.get(target.suffix.lower(), ())
    check_output(target, sources, starts, f"{target.suffix} audio", force)


def print_error(message: object) -> None:
    """One red line on standard error."""
    line = visible(" ".join(str(message).split("\n")))
    with suppress(OSError, ValueError):  # it may be closed
        errors.print(f"error: {line}", style="red", highlight=False, soft_wrap=True)


def print_warning(message: object, *_: object, **__: object) -> None:
    """One yellow line on standard error; in place of ``warnings.showwarning``."""
    line = visible(" ".join(str(message).split("\n")))
    with suppress(OSError, ValueError):  # it may be closed
        errors.print(f"warning: {line}", style="yellow", highlight=False, soft_wrap=True)


def print_line(text: str) -> None:
    """A line as it is, never broken: a script may take a path from it."""
    console.print(visible(text), highlight=False, soft_wrap=True)


def print_json(data: Any) -> None:
    """JSON; a number that JSON does not have, such as NaN, is null."""
    console.print_json(data=_json_value(data))


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _json_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    return value


def print_row(values: Mapping[str, str]) -> None:
    """A table of one row."""
    table = Table(*values)
    table.add_row(*values.values())
    console.print(table)


def print_figures(table: object, figures: Any, json: bool) -> None:
    """Figures as JSON, or the table that shows them."""
    if json:
        print_json(figures)
    else:
        console.print(table)


class BenchmarkReport(Protocol):
    """Figures that are printed as a table or as JSON."""

    def table(self) -> Table: ...

    def to_json(self) -> Any: ...


def print_report(report: BenchmarkReport, json: bool) -> None:
    """The report as JSON, or as a table."""
    if json:
        print_json(report.to_json())
    else:
        console.print(report.table())
