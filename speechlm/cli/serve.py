"""The local server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechlm.cli.common import Threads, finite, print_line, use_threads
from speechlm.errors import SpeechLMError

app = typer.Typer()
TOKEN_VARIABLE = "SPEECHLM_TOKEN"


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address; one that other machines reach needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar=TOKEN_VARIABLE, show_envvar=True, help="Token that clients send as API key."
        ),
    ] = None,
    codec: Annotated[str | None, typer.Option(help="Codec; default: codec-16k.")] = None,
    lm: Annotated[str | None, typer.Option(help="Language model; default: lm-units.")] = None,
    vocoder: Annotated[
        str | None,
        typer.Option(help="Vocoder of voice conversion; default: the language model's."),
    ] = None,
    voices: Annotated[
        Path | None, typer.Option(help="Folder of recordings; file names name the voices.")
    ] = None,
    queue: Annotated[int, typer.Option(min=1, help="Waiting requests, at most.")] = 32,
    active: Annotated[int, typer.Option(min=1, help="Requests computed in turns.")] = 4,
    batch: Annotated[int, typer.Option(min=1, help="Continuations in one batch.")] = 8,
    timeout: Annotated[
        float, typer.Option(callback=finite, help="Seconds of a request, waiting included.")
    ] = 120.0,
    max_seconds: Annotated[
        float, typer.Option(callback=finite, help="Seconds of audio of a request.")
    ] = 600.0,
    threads: Threads = 1,
) -> None:
    """Serve speech, transcription, continuation, conversion and the codec over HTTP.

    The routes of OpenAI's API take its clients: base_url="http://127.0.0.1:8000/v1". A page at /
    tries everything. Needs the extra serve.
    """
    from speechlm import hub

    for model in (codec, lm, vocoder):
        if model is not None:
            hub.find_model(model)
    from speechlm.serve.settings import ServerSettings

    settings = ServerSettings(
        host, port, token, codec, lm, vocoder, voices, queue, active, batch, timeout,
        max_seconds=max_seconds, threads=threads,
    )  # fmt: skip
    use_threads(threads)
    try:
        from speechlm.serve.run import run
    except ImportError as error:
        raise SpeechLMError(
            f"serve needs {error.name}: pip install 'speechlm[serve]', or make serve"
        ) from None
    run(settings, lambda address: print_line(f"speechlm serves on {address}"))
