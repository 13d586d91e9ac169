"""Speech to text, beside the recognisers of the suite."""

from __future__ import annotations

import time

from speechlm.errors import SpeechLMError
from speechlm.evaluation.clips import find
from speechlm.evaluation.lm.asr_judges import Transcript
from speechlm.evaluation.lm.config import ASRConfig
from speechlm.evaluation.lm.model_under_test import ModelUnderTest
from speechlm.evaluation.lm.result_table import Section
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.metrics.base import failed
from speechlm.evaluation.samples import ItemSamples, Sample
from speechlm.evaluation.schema import Column, error_cells
from speechlm.lm import pipelines
from speechlm.utils.processes import progress

ABOUT = (
    "What the model writes of recordings, beside what recognisers do, of the recordings and of "
    "what the model's units leave of them."
)


def run(config: ASRConfig, subject: ModelUnderTest) -> dict[str, Section]:
    """One section, with a card for each recording.

    Raises:
        SpeechLMError: when there are no recordings, or no tokenizer of the model's units.
    """
    clips = [clip for clip in find(config.clips) if clip.text]
    if not clips:
        raise SpeechLMError("no recording has a text")
    tokenizer, ears = subject.tokenizer, subject.ears
    section = Section("Speech to text", ABOUT, _columns(ears.style))
    model = section.system(subject.name, "hears units, writes the most probable text")
    recordings = {name: section.system(name, "hears recordings") for name in ears.names}
    units = {
        name: section.system(f"{name}, of units", "hears what units leave of recordings")
        for name in ears.names
    }
    with progress("asr       ", len(clips)) as advance:
        for clip in clips:
            section.item(clip.id, seconds=clip.seconds, text=clip.text, speaker=clip.speaker)
            wave = subject.wave(clip)
            start = time.perf_counter()
            try:
                text, reason = pipelines.transcribe_waves([wave], subject.model, tokenizer), ""
                factor = Score((time.perf_counter() - start) / clip.seconds, weight=clip.seconds)
            except SpeechLMError as error:
                text, reason, factor = "", str(error), failed(str(error))
            found = _cells(clip.text, Transcript(text, reason), ears.style)
            section.add(model, found | {"rtf": factor}, text=text)
            written = {subject.name: text}
            for systems, sound in ((recordings, wave), (units, subject.given_back(wave))):
                for name, heard in ears.hear(sound, subject.rate).items():
                    section.add(
                        systems[name], _cells(clip.text, heard, ears.style), text=heard.text
                    )
                    written[systems[name]] = heard.text
            section.samples.append(
                ItemSamples(clip.id, clip.text, [Sample("recording", wave, written)])
            )
            advance(clip.id)
    return {"asr": section}


def _cells(said: str | None, heard: Transcript, style: str) -> dict[str, Score]:
    found = error_cells("", said, heard.text, heard.reason, style)
    written = error_cells("", said, heard.text, heard.reason, "basic")
    return {"wer": found["wer:"], "cer": found["cer:"], "written": written["wer:"]}


def _columns(style: str) -> dict[str, Column]:
    about = f"after the normaliser {style!r}; errors of the whole set over its "
    return {
        "wer": Column("WER", "%", "lower", 1, about + "words"),
        "cer": Column("CER", "%", "lower", 1, about + "characters"),
        "written": Column(
            "WER as written", "%", "lower", 1, "each letter that is spelled is a word"
        ),
        "rtf": Column("RTF", "", "lower", 3, "work for a second of speech, encoding included"),
    }
