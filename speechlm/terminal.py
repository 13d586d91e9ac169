"""What the verbs share: where they print, and how many threads they use."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

console = Console()
errors = Console(stderr=True)

Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]


def use_threads(number: int) -> None:
    """Limit the threads of every numeric library; before any of them is imported."""
    os.environ["OMP_NUM_THREADS"] = str(number)
    import torch

    torch.set_num_threads(number)


def print_row(values: dict[str, str]) -> None:
    """A table of one row."""
    table = Table(*values)
    table.add_row(*values.values())
    console.print(table)
