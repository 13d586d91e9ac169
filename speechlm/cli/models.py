"""Models: smaller files, other runtimes, and a demonstration."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from speechlm import hub, resources
from speechlm.cli.common import (
    CodecModel,
    Json,
    Kbps,
    Threads,
    check_audio,
    print_json,
    print_line,
    use_threads,
)
from speechlm.cli.lm import LanguageModelName
from speechlm.utils.terminal import console

app = typer.Typer()
export = typer.Typer(help="Models for other runtimes.", no_args_is_help=True)


@app.command("quantize-weights")
def quantize_weights(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, name or hub id.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the smaller model.")],
    encoder: Annotated[
        bool,
        typer.Option("--encoder", help="Also a codec's encoder: its codes change."),
    ] = False,
    json: Json = False,
) -> None:
    """Store the matrices of a model in 8 bits instead of 16: about half the size."""
    hub.find_model(model)
    use_threads(1)
    from speechlm.quantize_weights import quantize_weights as quantize

    sizes = quantize(model, out, encoder)
    if json:
        files = {name: asdict(size) for name, size in sizes.items()}
        print_json({"model": out, "bytes": files})
        return
    table = Table("bytes of", "before", "after")
    for name, size in sizes.items():
        table.add_row(name, str(size.before), "-" if size.after is None else str(size.after))
    before = sum(size.before for size in sizes.values())
    table.add_row("all", str(before), str(sum(size.after or 0 for size in sizes.values())))
    console.print(table)
    for name in (name for name, size in sizes.items() if size.after is None):
        print_line(f"{name} is left out: it belongs to other codes")
    print_line(f"model: {out}")


app.command("shrink", hidden=True)(quantize_weights)  # its former name


@app.command()
def push(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder or shipped name.")],
    repo_id: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the hub.")],
    private: Annotated[bool, typer.Option("--private", help="Create a private one.")] = False,
    message: Annotated[str, typer.Option(help="Of the commit.")] = "Upload model",
) -> None:
    """Upload a model to the Hugging Face hub, with the account of hf auth login."""
    from speechlm.publish import push_to_hub

    print_line(push_to_hub(model, repo_id, private=private, message=message))


@app.command()
def demo(
    source: Annotated[Path | None, typer.Argument(metavar="IN")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("demo"),
    model: CodecModel = None,
    lm: Annotated[str | None, typer.Option(help="Language model; default: a shipped one.")] = None,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Compress a recording (yours or the shipped one) at three bitrates and evaluate the result.

    With a language model, also continue the recording and synthesise a sentence.
    """
    check_audio(source or resources.SAMPLE)
    hub.check_codec(model)
    if lm is not None:
        hub.find_model(lm)
    use_threads(threads)
    from speechlm import codec
    from speechlm import demo as demonstration
    from speechlm.lm.language_model import LanguageModel

    if lm is None and model is None:
        lm = demonstration.language_model()
    language = None if lm is None else LanguageModel.from_pretrained(lm)
    source = source or resources.SAMPLE
    out.mkdir(parents=True, exist_ok=True)
    rows = demonstration.run(source, out, codec.load(model))
    spoken = demonstration.speak(source, out, language, model) if language else []
    page = demonstration.write_page(source, out, model, spoken)
    if json:
        print_json({"page": page, "bitrates": [asdict(row) for row in rows]})
        return
    columns = (
        "seconds",
        "target kbps",
        "real kbps",
        "codebooks",
        "PESQ-wb",
        "STOI",
        "RTF encode",
        "decode",
    )
    table = Table(*columns)
    for row in rows:
        table.add_row(
            f"{row.seconds:.2f}",
            f"{row.kbps:g}",
            f"{row.real_kbps:.2f}",
            f"{row.codebooks_per_frame:.2f}",
            f"{row.pesq.value:.2f}",
            f"{row.stoi.value:.3f}",
            f"{row.encode_rtf:.4f}",
            f"{row.decode_rtf:.4f}",
        )
    console.print(table)
    for note in sorted({score.reason for row in rows for score in (row.pesq, row.stoi)} - {""}):
        print_line(note)
    print_line(f"files: {out}/")
    print_line(f"page:  {page.resolve().as_uri()}")


@export.command()
def onnx(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, name or hub id.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the graphs.")],
    kbps: Kbps = None,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Export the encoder and decoder of a codec as ONNX graphs of one frame, with their state."""
    hub.find_model(model)
    use_threads(threads)
    from speechlm.codec import NeuralCodec
    from speechlm.codec.onnx import export as export_graphs

    codec = NeuralCodec.from_pretrained(model)
    paths = export_graphs(codec.network, codec.choose_num_codebooks(kbps=kbps), out)
    sizes = {str(path): path.stat().st_size for path in paths}
    if json:
        print_json(sizes)
        return
    for name, size in sizes.items():
        print_line(f"{name}: {size / 2**20:.1f} MiB")


@export.command()
def web(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the files.")],
    model: CodecModel = None,
) -> None:
    """Export a codec for the browser: graphs of any number of frames, codebooks, entropy model."""
    hub.check_codec(model)
    use_threads(1)
    from speechlm.codec.web import export as export_web

    for path in export_web(model, out):
        print_line(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


@export.command("hf")
def export_hf(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    model: LanguageModelName = None,
) -> None:
    """Export the backbone of a language model as a transformers Llama with its tokenizer."""
    hub.find_model(model or hub.DEFAULT_LM)
    use_threads(1)
    from speechlm.lm import hf
    from speechlm.lm.language_model import LanguageModel

    loaded = LanguageModel.from_pretrained(model)
    folder = hf.export_pretrained(loaded, out)
    print_line(f"Llama of {loaded.network.size} ids: {folder}")
