"""Text to speech: what a recogniser makes of it, beside what it makes of people."""

from __future__ import annotations

from dataclasses import dataclass, replace

from speechlm.data.sentences import sentence
from speechlm.errors import SpeechLMError
from speechlm.evaluation.clips import Clip, find
from speechlm.evaluation.lm import generation_stats
from speechlm.evaluation.lm.asr_judges import texts
from speechlm.evaluation.lm.config import TTSConfig
from speechlm.evaluation.lm.model_under_test import ModelUnderTest
from speechlm.evaluation.lm.result_table import Section
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.metrics.base import failed
from speechlm.evaluation.samples import ItemSamples, Sample
from speechlm.lm import pipelines
from speechlm.types import Wave
from speechlm.utils.processes import progress

RECORDED = (
    "Sentences that the model says, beside the people who read them: errors of recognisers in the "
    "recordings are the floor, and those in what the units leave of them the floor of these units. "
    "No training text is one of these sentences."
)
MADE_UP = (
    "Sentences like AN4's, from a grammar, that no training text is: there is no recording of "
    "them, and so no floor."
)


@dataclass(frozen=True)
class Prompt:
    """A sentence, and the recording of it if there is one."""

    id: str
    text: str
    clip: Clip | None = None


def run(config: TTSConfig, subject: ModelUnderTest) -> dict[str, Section]:
    """A section for sentences with recordings and one for made-up ones, as far as declared.

    Raises:
        SpeechLMError: when no such sentence is new to the model, or its units make no sound.
    """
    subject.warm()
    sections = {}
    columns = subject.ears.columns | generation_stats.COLUMNS
    if config.clips is not None:
        section = Section("Text to speech", RECORDED, columns)
        sections["tts"] = _run(section, recorded(config, subject), config, subject)
    if config.made_up:
        section = Section("Text to speech, made-up sentences", MADE_UP, columns)
        sections["tts made-up"] = _run(section, made_up(config, subject), config, subject)
    return sections


def recorded(config: TTSConfig, subject: ModelUnderTest) -> list[Prompt]:
    """Recordings whose sentence is not in the training splits, the first of each sentence.

    Raises:
        SpeechLMError: when there is none.
    """
    assert config.clips is not None
    found: dict[str, Prompt] = {}
    for clip in find(config.clips):
        spelled = subject.model.text.normalise(clip.text or "")
        if clip.text and spelled not in subject.trained_texts:
            found.setdefault(spelled, Prompt(clip.id, clip.text, clip))
    if not found:
        raise SpeechLMError("no recording has a sentence that is new to the model")
    return list(found.values())


def made_up(config: TTSConfig, subject: ModelUnderTest) -> list[Prompt]:
    """Different sentences of a grammar that are not in the training splits."""
    found: dict[str, Prompt] = {}
    number = 0
    while len(found) < config.made_up:
        text = sentence(number, config.seed)
        spelled = subject.model.text.normalise(text)
        if spelled not in subject.trained_texts:
            found.setdefault(spelled, Prompt(f"sentence {number}", text))
        number += 1
    return list(found.values())


def _run(
    section: Section, prompts: list[Prompt], config: TTSConfig, subject: ModelUnderTest
) -> Section:
    model = section.system(subject.name, "says the text, in a voice that it picks")
    floors = {}
    if prompts[0].clip is not None:
        floors = {
            name: section.system(name, about)
            for name, about in (
                ("units", "what the model's units leave of the recording"),
                ("recording", "the recording"),
            )
        }
    with progress("tts       ", len(prompts)) as advance:
        for number, prompt in enumerate(prompts):
            section.item(prompt.id, text=prompt.text)
            cards = [_said(section, model, prompt, number, config, subject)]
            if prompt.clip is not None:
                wave = subject.wave(prompt.clip)
                waves = {"units": subject.given_back(wave), "recording": wave}
                for name in floors:
                    cards.append(_heard(section, name, prompt.text, waves[name], subject))
            section.samples.append(ItemSamples(prompt.id, prompt.text, cards))
            advance(prompt.id)
    return section


def _said(
    section: Section,
    name: str,
    prompt: Prompt,
    number: int,
    config: TTSConfig,
    subject: ModelUnderTest,
) -> Sample:
    """Let the model say a prompt, and add its row."""
    most = pipelines.max_frames(prompt.text, subject.model.units.frame_rate)
    truncated: list[int] = []
    try:
        how = config.sampling.sampling(number)
        frames = subject.model.synthesize(prompt.text, most, how, truncated=truncated)
        stream = subject.tokenizer.stream_decoder()
        made = generation_stats.generate(frames, most, subject.num_codebooks, stream)
    except SpeechLMError as error:  # as a text beyond the context
        section.add(name, dict.fromkeys(section.columns, failed(str(error))))
        return Sample(name, note=str(error))
    made = replace(made, ended=made.ended and not truncated)
    cells = generation_stats.cells(made, subject.rate)
    note = "" if made.ended else "did not end by itself"
    return _heard(section, name, prompt.text, made.wave, subject, cells, note)


def _heard(
    section: Section,
    name: str,
    text: str,
    wave: Wave,
    subject: ModelUnderTest,
    cells: dict[str, Score] | None = None,
    note: str = "",
) -> Sample:
    """Let the recognisers hear a wave, and add the row of the system that it is of."""
    heard = subject.ears.hear(wave, subject.rate)
    section.add(name, subject.ears.cells(text, heard) | (cells or {}), texts=texts(heard))
    return Sample(name, wave, texts(heard), note)
