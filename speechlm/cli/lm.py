"""Language models and the vocoder: audio or text in, audio, text or figures out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechlm.cli.common import (
    AudioIn,
    AudioOut,
    Force,
    Json,
    Threads,
    check_audio,
    check_audio_output,
    finite,
    print_json,
    print_line,
    print_row,
    use_threads,
)
from speechlm.errors import SpeechLMError

if TYPE_CHECKING:
    from speechlm.lm.language_model import LikelihoodScore
    from speechlm.lm.pipelines import GenerationTiming

app = typer.Typer()

LanguageModelName = Annotated[
    str | None,
    typer.Option("--model", help="Folder, shipped name or hub id; default: lm-units."),
]
Units = Annotated[
    str | None,
    typer.Option(help="The codec, tokenizer or vocoder of its units; default: its own."),
]
Temperature = Annotated[
    float, typer.Option(callback=finite, help="Sampling temperature; 0: greedy.")
]
TopK = Annotated[int, typer.Option(help="Sample from the K most probable units; 0: all.")]
TopP = Annotated[
    float,
    typer.Option(callback=finite, help="Nucleus sampling: smallest set of a probability above P."),
]
Seed = Annotated[int, typer.Option(help="Random seed; the same seed gives the same audio.")]


@app.command("continue")
def continue_(
    source: AudioIn,
    target: AudioOut,
    seconds: Annotated[
        float, typer.Option(callback=finite, help="Maximum length of the continuation.")
    ] = 8.0,
    min_seconds: Annotated[
        float, typer.Option(callback=finite, help="Minimum length of the continuation.")
    ] = 0.0,
    temperature: Temperature = 0.9,
    top_k: TopK = 0,
    top_p: TopP = 0.95,
    seed: Seed = 0,
    model: LanguageModelName = None,
    units: Units = None,
    force: Force = False,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Continue a recording with generated speech, until the model ends it or time is up."""
    _check(model, source)
    check_audio_output(target, [source], force)
    use_threads(threads)
    from speechlm.lm import pipelines
    from speechlm.lm.generate.sampling import Sampling
    from speechlm.lm.language_model import LanguageModel

    sampling = Sampling(temperature, top_k, top_p, seed=seed, min_seconds=min_seconds)
    loaded = LanguageModel.from_pretrained(model)
    _report(
        pipelines.continue_recording(
            source, target, loaded, loaded.tokenizer(units), seconds, sampling
        ),
        json,
    )


@app.command()
def say(
    text: Annotated[str, typer.Argument(metavar="TEXT")],
    target: AudioOut,
    voice: Annotated[Path | None, typer.Option(help="A recording of the target voice.")] = None,
    temperature: Temperature = 0.5,
    top_k: TopK = 0,
    top_p: TopP = 0.9,
    guidance: Annotated[
        float | None,
        typer.Option(
            callback=finite, help="Classifier-free guidance; 1: none. Default: the model's."
        ),
    ] = None,
    best_of: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Generate N candidates and keep the one that the model's ASR scores highest. "
            "Default: the model's.",
        ),
    ] = None,
    seed: Seed = 0,
    model: LanguageModelName = None,
    units: Units = None,
    force: Force = False,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Text to speech."""
    _check(model, voice)
    check_audio_output(target, [] if voice is None else [voice], force)
    use_threads(threads)
    from speechlm.lm import pipelines
    from speechlm.lm.generate.sampling import Sampling
    from speechlm.lm.language_model import LanguageModel

    sampling = Sampling(temperature, top_k, top_p, guidance=guidance, best_of=best_of, seed=seed)
    loaded = LanguageModel.from_pretrained(model)
    spoken = pipelines.synthesize(text, target, loaded, loaded.tokenizer(units), voice, sampling)
    _report(spoken, json)


@app.command()
def transcribe(
    source: AudioIn,
    text_lm: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|none", help="Language model of text (text-lm); default: the model's own."
        ),
    ] = None,
    ctc_weight: Annotated[
        float | None,
        typer.Option(
            callback=finite,
            help="Weight of CTC; the rest is the attention decoder's. Default: the model's.",
        ),
    ] = None,
    text_lm_weight: Annotated[
        float | None,
        typer.Option(
            callback=finite, help="Weight of the language model of text. Default: the model's."
        ),
    ] = None,
    word_bonus: Annotated[
        float | None,
        typer.Option(callback=finite, help="Nats that each word adds. Default: the model's."),
    ] = None,
    model: LanguageModelName = None,
    units: Units = None,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Transcribe speech. Long recordings are cut at pauses; what is no speech gives no text."""
    _check(model, source)
    if text_lm not in (None, "none") and not Path(text_lm).is_file():
        raise SpeechLMError(f"{text_lm}: no such file; make one with speechlm text-lm")
    use_threads(threads)
    from speechlm.lm import pipelines
    from speechlm.lm.generate.ctc_attention import Fusion
    from speechlm.lm.language_model import LanguageModel

    loaded = LanguageModel.from_pretrained(model)
    own = loaded.fusion
    fusion = Fusion(
        own.ctc if ctc_weight is None else ctc_weight,
        own.lm if text_lm_weight is None else text_lm_weight,
        own.word if word_bonus is None else word_bonus,
    )
    file = loaded.text_lm_file if text_lm is None else Path(text_lm)
    loaded.use_text_lm(None if text_lm == "none" else file, fusion)
    text = pipelines.transcribe(source, loaded, loaded.tokenizer(units))
    if json:
        print_json({"text": text})
    else:
        print_line(text)


@app.command()
def score(
    source: Annotated[
        Path | None, typer.Argument(metavar="[IN]", help="WAV, FLAC, OGG or MP3.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Text to score, given IN if there is one.")
    ] = None,
    json: Json = False,
    model: LanguageModelName = None,
    units: Units = None,
    threads: Threads = 1,
) -> None:
    """Negative log2-likelihood of speech, of text, or of text given its speech, under the model.

    In bits: total, per second (or per character), and by codebook. Given IN and --text, the text is
    scored as a transcript of IN: fewer bits for a likelier one. Recordings beyond the context are
    scored in windows that overlap by half.
    """
    if source is None and text is None:
        raise SpeechLMError("nothing to score: give a recording or --text")
    _check(model, source)
    use_threads(threads)
    from speechlm import audio
    from speechlm.lm import pipelines
    from speechlm.lm.language_model import LanguageModel

    loaded = LanguageModel.from_pretrained(model)
    found: dict[str, dict[str, object]] = {}
    if source is None:
        assert text is not None
        found["text"] = _text_row(loaded.score_text(text))
    else:
        tokenizer = loaded.tokenizer(units)
        speech = pipelines.score(source, loaded, tokenizer)
        found["speech"] = {
            "seconds": speech.length,
            "units": speech.tokens,
            "bits": sum(speech.bits),
            "bits_per_second": speech.rate,
            "bits_per_second_by_level": [bits / speech.length for bits in speech.bits],
        }
        if text is not None:
            wave, _ = audio.read(source, tokenizer.units.sample_rate)
            transcript = pipelines.score_transcript(wave, text, loaded, tokenizer)
            found["text_given_speech"] = _text_row(transcript)
    if json:
        print_json(found)
        return
    for kind, values in found.items():
        print_row({kind: ""} | {name: _short(value) for name, value in values.items()})


def _text_row(score: LikelihoodScore) -> dict[str, object]:
    return {
        "characters": score.length,
        "pieces": score.tokens,
        "bits": sum(score.bits),
        "bits_per_character": score.rate,
    }


@app.command()
def convert(
    source: AudioIn,
    target: AudioOut,
    voice: Annotated[Path, typer.Option(help="A recording of the target voice.")],
    model: Annotated[
        str | None, typer.Option(help="Folder or hub id; default: vocoder-16k.")
    ] = None,
    force: Force = False,
    json: Json = False,
    threads: Threads = 1,
) -> None:
    """Voice conversion: resynthesise a recording in the voice of another."""
    _check(model or "vocoder-16k", source, voice)
    check_audio_output(target, [source, voice], force)
    use_threads(threads)
    from speechlm.vocoder.convert import convert as convert_recording

    seconds = convert_recording(source, voice, target, model)
    if json:
        print_json({"seconds": seconds})
    else:
        print_row({"seconds": f"{seconds:.2f}"})


def _check(model: str | None, *recordings: Path | None) -> None:
    """Refuse a model or recording that is not there before torch is loaded."""
    from speechlm import hub

    hub.find_model(model or hub.DEFAULT_LM)
    for recording in recordings:
        if recording is not None:
            check_audio(recording)


def _report(spoken: GenerationTiming, json: bool) -> None:
    if json:
        print_json(asdict(spoken) | {"rtf": spoken.rtf})
        return
    print_row(
        {
            "seconds": f"{spoken.seconds:.2f}",
            "first audio after": f"{spoken.first_seconds:.3f} s",
            "RTF": f"{spoken.rtf:.3f}",
        }
    )


def _short(value: object) -> str:
    if isinstance(value, list):
        return " ".join(_short(item) for item in value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)
