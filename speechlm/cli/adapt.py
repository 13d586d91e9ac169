"""Fine-tuning on a folder of recordings."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from speechlm.cli.common import (
    Json,
    Threads,
    finite,
    print_json,
    print_line,
    require_folder,
    use_threads,
)
from speechlm.utils.terminal import console, errors, visible

app = typer.Typer(
    help="Fine-tune a model on a folder of recordings, and compare it with what it was.",
    no_args_is_help=True,
)

Recordings = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of recordings.")]
Minutes = Annotated[float, typer.Option(callback=finite, help="Minutes of training.")]
Out = Annotated[
    Path | None, typer.Option(help="Folder for everything; default: runs/adapt-FAMILY-FOLDER.")
]
Licence = Annotated[str, typer.Option(help="Of the recordings, for the model's card.")]
Language = Annotated[str | None, typer.Option(help="Of the recordings, as en.")]


@app.command()
def codec(
    folder: Recordings,
    minutes: Minutes = 20.0,
    out: Out = None,
    model: Annotated[
        str, typer.Option(help="Codec to adapt: folder, shipped name or hub id.")
    ] = "codec-16k",
    train_all: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Train encoder and codebooks too: codes, files and language models of the codec "
            "do not fit the new one, and its entropy model is left out.",
        ),
    ] = False,
    licence: Licence = "unknown",
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Adapt a codec: its decoder alone, so that codes, files and language models stay valid.

    Run the same command again to continue after an interruption.
    """
    _adapt("codec", folder, out, threads, json, model=model, minutes=minutes, licence=licence,
           train_all=train_all)  # fmt: skip


@app.command()
def vocoder(
    folder: Recordings,
    minutes: Minutes = 20.0,
    out: Out = None,
    model: Annotated[
        str, typer.Option(help="Vocoder to adapt: folder, shipped name or hub id.")
    ] = "vocoder-16k",
    licence: Licence = "unknown",
    language: Language = None,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Adapt a vocoder; of recordings of one speaker, theirs becomes its default voice.

    Run the same command again to continue after an interruption.
    """
    _adapt("vocoder", folder, out, threads, json, model=model, minutes=minutes, licence=licence,
           language=language)  # fmt: skip


@app.command()
def lm(
    folder: Recordings,
    minutes: Minutes = 20.0,
    out: Out = None,
    model: Annotated[
        str, typer.Option(help="Language model to adapt: folder, shipped name or hub id.")
    ] = "lm-units",
    licence: Licence = "unknown",
    language: Language = "en",
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Adapt a language model to recordings with texts (NAME.txt beside each, or a list).

    Run the same command again to continue after an interruption.
    """
    _adapt("lm", folder, out, threads, json, model=model, minutes=minutes, licence=licence,
           language=language)  # fmt: skip


def _adapt(
    family: str, folder: Path, out: Path | None, threads: int, json: bool, **asked: object
) -> None:
    require_folder(folder)
    use_threads(threads)
    from speechlm.adapt.comparison import terminal_table
    from speechlm.adapt.options import AdaptOptions
    from speechlm.adapt.recordings import default_out
    from speechlm.adapt.run import adapt

    options = AdaptOptions(folder=folder, out=out or default_out(family, folder), **asked)  # type: ignore[arg-type]
    adapted = adapt(family, options, _to_stderr if json else print_line)
    if json:
        rows = [asdict(row) for row in adapted.rows]
        print_json({"model": adapted.model, "comparison": rows, "notes": adapted.notes})
        return
    title = f"Held-out recordings of {adapted.corpus.name}, 95 % intervals over recordings"
    console.print(terminal_table(adapted.rows, title))
    for note in adapted.notes:
        print_line(note)
    print_line(f"page:  {options.out / 'evaluation' / 'report.html'}")
    print_line(f"model: {adapted.model}")


def _to_stderr(line: str) -> None:
    errors.print(visible(line), highlight=False, soft_wrap=True)
