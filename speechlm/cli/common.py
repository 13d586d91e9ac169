"""What the subcommands share: consoles, options, threads and the printing of figures."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.table import Table

from speechlm.errors import SpeechLMError
from speechlm.utils.terminal import console, errors

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
Kbps = Annotated[float | None, typer.Option(help="Bitrate; default: all codebooks.")]
AudioIn = Annotated[Path, typer.Argument(metavar="IN", help="WAV, FLAC, OGG or MP3.")]
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


def require_folder(path: Path) -> None:
    """Refuse what is no folder before torch is loaded."""
    if not path.is_dir():
        raise SpeechLMError(f"{path}: no such folder")


def print_error(message: object) -> None:
    """One red line on standard error."""
    errors.print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)


def print_row(values: Mapping[str, str]) -> None:
    """A table of one row."""
    table = Table(*values)
    table.add_row(*values.values())
    console.print(table)


class Report(Protocol):
    """Figures that are printed as a table or as JSON."""

    def table(self) -> Table: ...

    def to_json(self) -> Any: ...


def print_report(report: Report, json: bool) -> None:
    """The report as JSON, or as a table."""
    if json:
        console.print_json(data=report.to_json())
    else:
        console.print(report.table())
