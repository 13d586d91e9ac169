"""Conformance of codecs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechlm import hub
from speechlm.cli.common import (
    Json,
    Threads,
    finite,
    print_json,
    require_folder,
    use_threads,
)
from speechlm.errors import SpeechLMError
from speechlm.utils.terminal import console

app = typer.Typer()


@app.command()
def conform(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Folder, shipped name, hub id or peer; or package.module:function, which returns "
            "a speechlm.Codec."
        ),
    ] = None,
    encode: Annotated[
        str | None,
        typer.Option(help='In place of MODEL: a command, as "opusenc --bitrate 16 {in} {out}".'),
    ] = None,
    decode: Annotated[
        str | None, typer.Option(help='Its counterpart, as "opusdec --rate 16000 {in} {out}".')
    ] = None,
    kbps: Annotated[
        float | None, typer.Option(callback=finite, help="Bitrate that the commands state.")
    ] = None,
    rate: Annotated[int, typer.Option(min=1, help="Sample rate of the commands, Hz.")] = 16000,
    audio: Annotated[
        Path | None, typer.Option(help="Folder of recordings; default: a synthetic signal.")
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option("--random-weights", help="encodec_24khz or dac_16khz without its weights."),
    ] = False,
    check: Annotated[list[str] | None, typer.Option(help="This check alone.")] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(help="Print a table, in Markdown, of files with what --json printed."),
    ] = None,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Check a codec: batch, chunks, threads, length, causality, bits, levels, losses, growth.

    Exit status 1 if a check fails.
    """
    if results:
        from speechlm.conformance.suite import markdown, read_report

        typer.echo(markdown([read_report(path) for path in results]), nl=False)
        return
    if (model is None) == (encode is None) or (encode is None) != (decode is None):
        raise SpeechLMError("name a model, or give --encode and --decode")
    if audio is not None:
        require_folder(audio)
    if model is not None and ":" not in model:
        hub.check_codec(model)
    use_threads(threads)
    from speechlm.conformance import signals, suite
    from speechlm.conformance.checks import CHECKS
    from speechlm.conformance.subject import CommandSubject, Subject, open_subject

    unknown = set(check or ()) - set(CHECKS)
    if unknown:
        raise SpeechLMError(f"no check {min(unknown)!r}; there are {', '.join(CHECKS)}")
    subject: Subject
    if encode is not None and decode is not None:
        subject = CommandSubject(encode, decode, rate, kbps)
    else:
        subject = open_subject(str(model), random_weights)
    waves = signals.recordings(audio, subject.sample_rate)
    report = suite.run(subject, waves, check or CHECKS)
    if json:
        print_json(report.to_json())
    else:
        console.print(report.table())
    if not report.passed:
        raise typer.Exit(1)
