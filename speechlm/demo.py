"""The demonstration: one recording at three bitrates, and a page to hear it beside Opus.

With a language model, the page ends with what it goes on with, and a sentence that it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechlm import audio, bitstream, hub, whisper
from speechlm.codec import Codec
from speechlm.compression.files import compress, decompress
from speechlm.compression.rate_target import RateTarget
from speechlm.evaluation.config import ClipsConfig, SuiteConfig, SystemConfig
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.quality import scores
from speechlm.evaluation.samples import ItemSamples, Sample
from speechlm.evaluation.suite import execute
from speechlm.lm import pipelines
from speechlm.lm.generate.sampling import TTS_SAMPLING, Sampling
from speechlm.lm.language_model import LanguageModel
from speechlm.report import codec as codec_report

BITRATES = (1.5, 3.0, 6.0)
OPUS_BITRATES = (6.0, 9.0, 12.0)
RATE = 16000
"""Of what the page compares and plays."""
SECONDS, LEAST = 8.0, 3.0
"""Of the continuation, at most, and before it may end."""
SENTENCE = "one two three four five"


@dataclass(frozen=True)
class DemoRow:
    """One bitrate: what was asked and what came out. ``pesq`` and ``stoi`` may be NaN."""

    seconds: float
    kbps: float
    real_kbps: float
    codebooks_per_frame: float
    pesq: Score
    stoi: Score
    encode_rtf: float
    decode_rtf: float


def run(source: Path, out: Path, codec: Codec) -> list[DemoRow]:
    """Compress ``source`` and decompress it again, into ``out``.

    Leaves there ``original.wav`` and, for each bitrate, a ``.slm`` file and what it decodes to.

    Raises:
        SpeechLMError: when the recording cannot be read or the folder not be written.
    """
    reference, _ = audio.read(source, codec.sample_rate)
    audio.write(out / "original.wav", reference, codec.sample_rate)
    rows = []
    for kbps in BITRATES:
        packed, sound = out / f"{kbps:g}kbps.slm", out / f"{kbps:g}kbps.wav"
        encoded = compress(source, packed, codec, RateTarget(kbps))
        decoded = decompress(packed, sound, codec)
        estimate, _ = audio.read(sound)
        score = scores(reference, estimate, codec.sample_rate, ("pesq", "stoi"))
        row = DemoRow(
            seconds=encoded.seconds,
            kbps=kbps,
            real_kbps=bitstream.inspect(packed).kbps,
            codebooks_per_frame=encoded.codebooks,
            pesq=score["pesq"],
            stoi=score["stoi"],
            encode_rtf=encoded.rtf,
            decode_rtf=decoded.rtf,
        )
        rows.append(row)
    return rows


def language_model() -> str:
    """The default one; without the extra that its units need, the one of the codec's units."""
    return hub.DEFAULT_LM if whisper.installed() else "lm-16k"


def speak(source: Path, out: Path, model: LanguageModel, codec: str | None) -> list[ItemSamples]:
    """Let a language model go on after ``source``, and say ``SENTENCE``: WAV files in ``out``.

    Raises:
        SpeechLMError: when the recording cannot be read, or the model's units are not the codec's.
    """
    tokenizer = model.tokenizer(codec)
    continued, said = out / "continued.wav", out / "said.wav"
    heard = audio.info(source).seconds
    how = Sampling(min_seconds=LEAST)
    going = pipelines.continue_recording(source, continued, model, tokenizer, SECONDS, how)
    saying = pipelines.synthesize(SENTENCE, said, model, tokenizer, None, TTS_SAMPLING)
    notes = (
        (continued, f"the recording until {heard:.1f} s, then {going.seconds:.1f} s of the model"),
        (said, f"{saying.seconds:.1f} s, in the model's own voice"),
    )
    cards = [Sample(path.name, audio.read(path, RATE)[0], {}, note) for path, note in notes]
    return [
        ItemSamples("Continuation of the recording", None, cards[:1]),
        ItemSamples("Spoken sentence", SENTENCE, cards[1:]),
    ]


def write_page(
    source: Path, out: Path, model: str | None, spoken: Sequence[ItemSamples] = ()
) -> Path:
    """The evaluation's page for this one recording, Opus beside the codec; return its path.

    It ends with what a language model has ``spoken``.
    """
    suite = SuiteConfig(
        title=f"{source.name} through speechlm",
        about="One recording at three bitrates, with Opus beside it: listen, and look.",
        clips=ClipsConfig(sources=[str(source)]),
        systems={
            "original": SystemConfig(kind="original"),
            "speechlm": SystemConfig(kind="model", model=model, kbps=list(BITRATES), mode="vbr"),
            "opus": SystemConfig(kind="opus", kbps=list(OPUS_BITRATES)),
        },
        metrics=["pesq", "stoi", "estoi", "si_sdr", "mel", "lsd"],
        sample_rate=RATE,
        workers=0,
    )
    return codec_report.write(execute(suite, out), out, spoken)
