"""The command line: parse, call one function, print. One module a family of subcommands.

Nothing heavy is imported here: ``speechlm --help`` answers without loading torch.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated

import typer

import speechlm
from speechlm.cli import (
    adapt,
    bench,
    compress,
    conform,
    data,
    evaluate,
    lm,
    models,
    recipes,
    serve,
    train,
)
from speechlm.cli.common import print_error, print_warning
from speechlm.errors import Interrupted, SpeechLMError
from speechlm.utils.files import describe
from speechlm.utils.signals import exit_on_signals

app = typer.Typer(
    help="Speech as discrete units: codec, unit language model, vocoder, evaluation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(compress.app)
app.add_typer(compress.stream, name="stream")
app.add_typer(lm.app)
app.add_typer(data.app)
app.add_typer(recipes.app, name="recipes")
app.add_typer(train.app)
app.add_typer(adapt.app, name="adapt")
app.add_typer(evaluate.app)
app.add_typer(models.app)
app.add_typer(models.export, name="export")
app.add_typer(bench.app, name="bench")
app.add_typer(serve.app)
app.add_typer(conform.app)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"speechlm {speechlm.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options before the subcommand; they act by their callbacks."""


def main() -> None:
    """Run the command line; an error of the user or the system is one line, and status 2."""
    exit_on_signals()
    try:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = print_warning  # without a line of our code
                app()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where an error is caught, and not at exit
    except Interrupted as error:
        print_error(error)
        sys.exit(error.status)
    except SpeechLMError as error:
        print_error(error)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has closed it
        _discard_output()
        sys.exit(1)
    except OSError as error:
        _discard_output()
        print_error(describe(error))
        sys.exit(2)


def _discard_output() -> None:
    """Send what is still buffered for standard output nowhere: it would fail again at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
