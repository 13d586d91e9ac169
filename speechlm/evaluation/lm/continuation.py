"""Speech that goes on after the beginning of a recording."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from speechlm.errors import SpeechLMError
from speechlm.evaluation.clips import find
from speechlm.evaluation.lm import generation_stats
from speechlm.evaluation.lm.config import ContinuationConfig
from speechlm.evaluation.lm.generation_stats import GeneratedSpeech
from speechlm.evaluation.lm.model_under_test import ModelUnderTest
from speechlm.evaluation.lm.result_table import Section
from speechlm.evaluation.metrics.base import failed
from speechlm.evaluation.samples import ItemSamples, Sample
from speechlm.lm.generate.sampling import Sampling
from speechlm.lm.pipelines import frames_in
from speechlm.types import Wave
from speechlm.utils.processes import progress

ABOUT = (
    "The model hears the beginning of a recording and goes on, until it ends or its time is up. "
    "Beside it, what the speaker went on with, in the same units."
)


def run(config: ContinuationConfig, subject: ModelUnderTest) -> dict[str, Section]:
    """One section, with a card for what the model went on with, and one for the recording.

    Raises:
        SpeechLMError: when no recording is longer than the prompt, or the units make no sound.
    """
    size = round(config.prompt * subject.rate)
    clips = [clip for clip in find(config.clips) if clip.seconds > config.prompt]
    if not clips:
        raise SpeechLMError(f"no recording is longer than a prompt of {config.prompt:g} s")
    subject.warm()
    section = Section("Continuations", ABOUT, generation_stats.COLUMNS)
    model = section.system(subject.name, f"goes on for up to {config.seconds:g} s")
    real = section.system("recording", "as it goes on, to its end")
    with progress("continuing", len(clips)) as advance:
        for number, clip in enumerate(clips):
            wave = subject.wave(clip)
            section.item(clip.id, seconds=clip.seconds, text=clip.text, speaker=clip.speaker)
            card = _continued(section, model, wave[:size], number, config, subject)
            units = subject.tokenizer.encode(torch.from_numpy(wave)[None])[0].cpu().numpy()
            after = units[:, round(config.prompt / subject.seconds) :]
            section.add(real, {"unlooped": generation_stats.looping(after, subject.seconds)})
            section.samples.append(ItemSamples(clip.id, clip.text, [card, Sample(real, wave)]))
            advance(clip.id)
    return {"continuation": section}


def continue_prompt(
    prompt: Wave, seconds: float, how: Sampling, subject: ModelUnderTest
) -> tuple[Wave, GeneratedSpeech]:
    """The prompt (samples,) as its units give it back, and up to ``seconds`` that follow it.

    Raises:
        SpeechLMError: when the context does not hold the prompt, or the units make no sound.
    """
    heard = torch.from_numpy(prompt)[None]
    codes = subject.tokenizer.begin(heard)
    stream = subject.tokenizer.stream_decoder(heard)
    before = stream.push(codes)[0].cpu().numpy()
    units = subject.tokenizer.units
    # What the stream still owes of the prompt; where units differ in length, nobody can say.
    owed = 0 if units.variable else max(codes.shape[2] * units.hop_length - len(before), 0)
    most = frames_in(seconds, 1 / subject.seconds)
    frames = subject.model.continue_speech(codes[0].cpu().numpy(), most, how)
    samples = owed + round(seconds * subject.rate)
    made = generation_stats.generate(frames, most, subject.num_codebooks, stream, samples)
    before = np.concatenate([before, made.wave[:owed]])
    return before, replace(made, wave=made.wave[owed:])


def _continued(
    section: Section,
    name: str,
    prompt: Wave,
    number: int,
    config: ContinuationConfig,
    subject: ModelUnderTest,
) -> Sample:
    """Let the model go on after ``prompt`` (samples,), and add its row."""
    try:
        how = replace(config.sampling.sampling(number), min_seconds=config.min_seconds)
        before, made = continue_prompt(prompt, config.seconds, how, subject)
    except SpeechLMError as error:  # as a prompt beyond the context
        section.add(name, dict.fromkeys(section.columns, failed(str(error))))
        return Sample(name, note=str(error))
    section.add(name, generation_stats.cells(made, subject.rate))
    length, end = len(made.wave) / subject.rate, "to an end" if made.ended else "and did not end"
    note = f"prompt until {config.prompt:.1f} s, then the model for {length:.1f} s, {end}"
    return Sample(name, np.concatenate([before, made.wave]), note=note)
