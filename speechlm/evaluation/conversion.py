"""Voice conversion: whose voice it is then, and what is still understood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from speechlm.config import to_dataclass
from speechlm.errors import SpeechLMError
from speechlm.evaluation.clips import Clip, find
from speechlm.evaluation.config import ClipsConfig, PageConfig, RecogniserConfig, check_page
from speechlm.evaluation.lm.asr_judges import ASRJudges, texts
from speechlm.evaluation.lm.result_table import Section
from speechlm.evaluation.lm.section_run import SectionRun, finish
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.metrics.base import Unscored, failed
from speechlm.evaluation.metrics.speaker import SPEAKER, embedding
from speechlm.evaluation.samples import ItemSamples, Sample
from speechlm.evaluation.schema import Column
from speechlm.evaluation.setup import listeners
from speechlm.evaluation.store import Store, default_folder
from speechlm.types import Wave
from speechlm.utils.files import make_folder
from speechlm.utils.processes import progress
from speechlm.vocoder import VocodedUnits

ABOUT = (
    "Each recording in the voice of another speaker, of whom the vocoder hears one recording. "
    "Voices are compared with a further recording of each speaker, which nothing else is made of. "
    "Beside what is converted stand the recording, what its units give back in its own voice, and "
    "the recording that the voice was taken from."
)
SYSTEMS = {
    "recording": "the source, as it is",
    "own voice": "its units, in the voice of the recording itself",
    "converted": "its units, in the voice of the target",
    "target": "the recording of the target that the voice is taken from",
}
COLUMNS = {
    "source": Column("Cosine to source", "", None, 3, SPEAKER.about),
    "target": Column("Cosine to target", "", None, 3, SPEAKER.about),
    "nearer": Column(
        "Nearer to target", "%", None, 1, "the cosine to the target is the larger one", share=True
    ),
}


@dataclass
class ConversionConfig:
    """A suite for the vocoder ``model``, a folder or a hub id; null: the shipped one."""

    kind: str = "conversion"
    title: str = "Voice conversion"
    about: str = ""
    model: str | None = None
    clips: ClipsConfig = field(default_factory=ClipsConfig)
    """With speakers, at least two recordings of each that counts."""
    seed: int = 0
    """Of who speaks as whom."""
    recognisers: dict[str, RecogniserConfig | None] = field(default_factory=dict)
    normaliser: str = "english"
    threads: int = 1
    page: PageConfig = field(default_factory=PageConfig)
    cache: str | None = None
    """Where recognisers' texts are kept between runs; none is the user's cache folder."""


@dataclass(frozen=True)
class ConversionPair:
    """A recording to convert and one to take the voice from; of each speaker, another recording."""

    source: Clip
    target: Clip
    of_source: Clip
    of_target: Clip


def fill(declared: DictConfig, path: Path) -> ConversionConfig:
    """Read what the file ``path`` declares.

    Raises:
        SpeechLMError: naming the file and the key, for what makes no suite.
    """
    config = to_dataclass(ConversionConfig, declared, path)
    check_page(config.page, path)
    return config


def execute(config: ConversionConfig, out: Path) -> SectionRun:
    """Run a suite; write ``out/results.json``.

    Raises:
        SpeechLMError: for a model, recordings or an output folder that cannot be used.
    """
    tokenizer = VocodedUnits.from_pretrained(config.model)
    chosen = list(pairs(find(config.clips), config.seed))
    make_folder(out)
    torch.set_num_threads(config.threads)
    with Store(Path(config.cache) if config.cache else default_folder()) as store:
        ears = ASRJudges(listeners(config.recognisers, config.normaliser), config.normaliser, store)
        section = Section("Voice conversion", ABOUT, COLUMNS | ears.columns)
        for name, about in SYSTEMS.items():
            section.system(name, about)
        with progress("converting", len(chosen)) as advance:
            for pair in chosen:
                section.item(
                    pair.source.id,
                    seconds=pair.source.seconds,
                    text=pair.source.text,
                    speaker=pair.source.speaker,
                    target=pair.target.speaker,
                )
                _convert(section, pair, tokenizer, ears)
                advance(pair.source.id)
    network = tokenizer.network
    facts: dict[str, object] = {
        "name": network.config.name,
        "from": config.model,
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "units": str(tokenizer.units),
        "frame_rate": tokenizer.units.frame_rate,
    }
    rate = tokenizer.units.sample_rate
    return finish(config, facts, ears, {"conversion": section}, {}, rate, out)


def pairs(clips: list[Clip], seed: int) -> Iterator[ConversionPair]:
    """Each recording with one of another speaker, drawn at random.

    Raises:
        SpeechLMError: unless there are two speakers with two recordings each.
    """
    said: dict[str, list[Clip]] = {}
    for clip in clips:
        if clip.speaker is not None:
            said.setdefault(clip.speaker, []).append(clip)
    said = {speaker: found for speaker, found in said.items() if len(found) > 1}
    if len(said) < 2:
        raise SpeechLMError("conversion takes two speakers or more, with two recordings of each")
    random = np.random.default_rng(seed)
    for clip in clips:
        if clip.speaker in said:
            others = [speaker for speaker in said if speaker != clip.speaker]
            first, second = random.permutation(len(own := said[str(random.choice(others))]))[:2]
            rest = [each for each in said[clip.speaker] if each != clip]
            yield ConversionPair(clip, own[first], rest[random.integers(len(rest))], own[second])


def _convert(
    section: Section, pair: ConversionPair, tokenizer: VocodedUnits, ears: ASRJudges
) -> None:
    """Add the rows of a pair."""
    rate = tokenizer.units.sample_rate
    wave, prompt, of_source, of_target = (
        clip.read(rate).copy()  # for torch, which wants to be able to write
        for clip in (pair.source, pair.target, pair.of_source, pair.of_target)
    )
    length = None if tokenizer.units.variable else len(wave)
    units = tokenizer.encode(torch.from_numpy(wave)[None])

    def voiced(voice: Wave) -> Wave:
        made: Wave = tokenizer.decode(units, length, torch.from_numpy(voice)[None])[0].numpy()
        return made

    voices = _voice(of_source, rate), _voice(of_target, rate)
    sounds = wave, voiced(wave), voiced(prompt), prompt
    cards = []
    for name, sound in zip(SYSTEMS, sounds, strict=True):
        cells = _compared(_voice(sound, rate), *voices)
        heard = {} if name == "target" else ears.hear(sound, rate)  # which says something else
        section.add(name, cells | ears.cells(pair.source.text, heard), texts=texts(heard))
        cards.append(Sample(name, sound, texts(heard)))
    section.samples.append(ItemSamples(pair.source.id, pair.source.text, cards))


def _voice(wave: Wave, rate: int) -> Wave | str:
    """The embedding of who speaks, or why there is none."""
    try:
        return embedding(wave, rate)
    except Unscored as reason:
        return str(reason)
    except Exception as error:  # a judge's crash is shown in its cells
        return f"{type(error).__name__}: {error}"


def _compared(voice: Wave | str, source: Wave | str, target: Wave | str) -> dict[str, Score]:
    scores = {
        name: failed(next(each for each in (voice, other) if isinstance(each, str)))
        if isinstance(voice, str) or isinstance(other, str)
        else Score(float(voice @ other))
        for name, other in (("source", source), ("target", target))
    }
    reason = scores["source"].reason or scores["target"].reason
    nearer = scores["target"].value > scores["source"].value
    return scores | {"nearer": failed(reason) if reason else Score(100.0 * nearer)}
