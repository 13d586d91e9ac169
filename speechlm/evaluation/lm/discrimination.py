"""Is what really follows a prompt more probable than something else?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.evaluation.lm.config import DiscriminationConfig
from speechlm.evaluation.lm.likelihood import learn
from speechlm.evaluation.lm.model_under_test import ModelUnderTest
from speechlm.evaluation.lm.result_table import Section
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.metrics.base import failed
from speechlm.evaluation.schema import Column
from speechlm.lm.pipelines import frames_in
from speechlm.types import Codes
from speechlm.utils.processes import progress

REAL = "real"
ABOUT = (
    "How often the model holds what really followed a prompt for more probable than something as "
    "long: its frames shuffled, or in reverse; what followed another utterance's prompt (spliced), "
    "or another of the same speaker's. By what the prompt adds, the same with a continuation's "
    "probability after the prompt over that without: what is probable anyway, such as silence, "
    "gains nothing. Several pairs may come from one utterance, so that the truth is a little wider."
)
NAMES = {
    "shuffled": "the frames in random order",
    "reversed": "the frames in reverse order",
    "spliced": "what followed the prompt of another utterance, of anybody",
    "spliced within speaker": "what followed the prompt of another utterance of the speaker",
}
RIVAL = "trigrams over levels"


@dataclass(frozen=True)
class Window:
    """A prompt and what followed it, codes (codebooks, frames); ``start`` is in frames."""

    held: Utterance
    start: int
    prompt: Codes
    rest: Codes

    @property
    def known(self) -> int:
        """Frames of the prompt."""
        return self.prompt.shape[1]


def run(config: DiscriminationConfig, subject: ModelUnderTest) -> dict[str, Section]:
    """One section: the model, by likelihood and by what the prompt adds, beside an n-gram.

    Raises:
        SpeechLMError: when no utterance is long enough.
    """
    windows = find(config, subject)
    section = Section("Choice of the real continuation", ABOUT, _columns())
    ngram = learn(RIVAL, subject)

    model = section.system(subject.name, "by likelihood")
    added = section.system(f"{subject.name}, by what the prompt adds", "by likelihood ratio")
    rival = section.system(RIVAL, "Kneser-Ney, by likelihood")
    random = np.random.default_rng(config.seed)
    with progress("choice    ", len(windows)) as advance:
        for window in windows:
            rests = {
                REAL: window.rest,
                "shuffled": window.rest[:, random.permutation(window.rest.shape[1])],
                "reversed": window.rest[:, ::-1],
                "spliced": _other(window, windows, random, same=False),
                "spliced within speaker": _other(window, windows, random, same=True),
            }
            after, alone, by_ngram = {}, {}, {}
            for name, rest in rests.items():
                if rest is not None:
                    whole, known = np.concatenate([window.prompt, rest], axis=1), window.known
                    after[name] = float(subject.model.bits(whole, known).sum())
                    alone[name] = float(subject.model.bits(rest).sum())
                    by_ngram[name] = float(ngram.bits(whole)[:, known:].sum())
            section.item(f"{window.held.id} at {window.start * subject.seconds:.2f} s")
            section.add(model, _won(after))
            section.add(added, _won({name: after[name] - alone[name] for name in after}))
            section.add(rival, _won(by_ngram))
            advance(window.held.id)
    return {"choice": section}


def find(config: DiscriminationConfig, subject: ModelUnderTest) -> list[Window]:
    """Windows of the test splits: the first of each utterance, then the second, and so on.

    Raises:
        SpeechLMError: when no utterance is long enough.
    """
    rate = subject.model.units.frame_rate
    first = frames_in(config.prompt, rate)
    size = first + frames_in(config.seconds, rate)
    held = subject.split("test")
    places = sorted(
        (start, number)
        for number, one in enumerate(held)
        for start in range(0, one.codes().shape[1] - size + 1, size)
    )
    if len(places) < 2:
        raise SpeechLMError(
            f"fewer than two test utterances last {config.prompt + config.seconds:g} s"
        )
    windows = []
    for start, number in places[: config.pairs]:
        codes = subject.codes(held[number])[:, start : start + size]
        windows.append(Window(held[number], start, codes[:, :first], codes[:, first:]))
    return windows


def _other(
    window: Window, windows: list[Window], random: np.random.Generator, same: bool
) -> Codes | None:
    """What followed another prompt, of the same speaker if asked; None if there is none."""

    def fits(other: Window) -> bool:
        if other.held == window.held:
            return False
        speaker = window.held.speaker
        return not same or (speaker is not None and speaker == other.held.speaker)

    found = [other for other in windows if fits(other)]
    return found[int(random.integers(len(found)))].rest if found else None


def _won(bits: dict[str, float]) -> dict[str, Score]:
    """Whether what really followed takes the fewest bits, beside each of the others there are."""
    return {
        name: Score(100.0 * (bits[REAL] < bits[name]))
        if name in bits
        else failed("no other utterance of the speaker")
        for name in NAMES
    }


def _columns() -> dict[str, Column]:
    return {
        name: Column(name.capitalize(), "%", "higher", 1, about, share=True)
        for name, about in NAMES.items()
    }
