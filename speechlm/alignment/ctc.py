"""An aligner that learns from transcripts alone, by connectionist temporal classification.

A small network spells what is said from a teacher's features, frame by frame (CTC, Graves et al.
2006); of all ways to spell a given transcript the most probable one tells in which frames its
letters are (Kürzinger et al. 2020, CTC segmentation). CTC finds some frames of a letter, not where
it begins: between the last letter of a word and the first of the next, the edge is where it is
quiet.
"""

from __future__ import annotations

import itertools
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from speechlm import audio, hub
from speechlm.alignment.words import RATE, STEP, Aligner, Word, between, end, levels, split
from speechlm.errors import SpeechLMError
from speechlm.tokenizers import features
from speechlm.tokenizers.features import TeacherConfig
from speechlm.types import Floats

AWAY = 200.0
"""Decibels that a place may be louder for being nearer to the next word, a second²: the first frame
that spells a letter is nearer to its beginning than the last one to its end."""


@dataclass
class AlignerConfig:
    """The ``config.yaml`` of an aligner.

    Training sets ``letters``, which are what it spells, their ``language``, and which teacher it
    heard (``fingerprint``). ``kernel`` is odd.
    """

    kind: str = "aligner"
    name: str = "aligner"
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    fingerprint: str = ""
    language: str = ""
    letters: str = ""
    dim: int = 128
    blocks: int = 3
    kernel: int = 5
    dropout: float = 0.1


class AlignerNetwork(nn.Module):
    """Scores letters from features of dimension ``inputs`` of a frame, and of those around it.

    Letter n of the configuration is class n + 1; class 0 is none.

    Raises:
        SpeechLMError: for an even kernel, which has no middle.
    """

    def __init__(self, config: AlignerConfig, inputs: int):
        super().__init__()
        dim, kernel = config.dim, config.kernel
        if kernel % 2 == 0:
            raise SpeechLMError(f"aligner.kernel is odd, not {kernel}")
        self.enter = nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(config.blocks))
        self.convs = nn.ModuleList(
            nn.Conv1d(dim, dim, kernel, padding=kernel // 2) for _ in range(config.blocks)
        )
        self.drop = nn.Dropout(config.dropout)
        self.out = nn.Linear(dim, len(config.letters) + 1)

    def output_heads(self) -> list[nn.Module]:
        """The layer that scores letters."""
        return [self.out]

    def forward(self, x: Tensor, frames: Tensor | None = None) -> Tensor:
        """Log-probabilities (batch, frames, letters + 1) of features (batch, frames, inputs).

        What is beyond the ``frames`` (batch,) of an example is not heard; None: all are whole.
        """
        h = self.enter(x)
        kept: Tensor | float = 1.0
        if frames is not None:
            kept = (torch.arange(x.shape[1], device=x.device) < frames[:, None])[..., None]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = h + self.drop(nn.functional.gelu(conv((norm(h) * kept).mT).mT))
        return self.out(h).float().log_softmax(dim=2)


def normalize(text: str) -> str:
    """The letters and digits of a text, composed and without case."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFC", text.casefold())))


def encode_text(text: str, letters: str) -> list[int]:
    """The classes of what a text spells, without what is none of ``letters``."""
    return [place + 1 for each in normalize(text) if (place := letters.find(each)) >= 0]


def min_frames(letters: list[int]) -> int:
    """Frames that spelling classes of letters takes: one each, and a blank between two alike."""
    return len(letters) + sum(one == other for one, other in itertools.pairwise(letters))


class CTCAligner(Aligner):
    """A trained network and its teacher.

    Raises:
        SpeechLMError: when the teacher cannot be had, or is another than that of training.
    """

    def __init__(self, config: AlignerConfig, weights: dict[str, Tensor]):
        self.letters = config.letters
        self.teacher = features.build_as_trained(config.teacher, config.fingerprint, config.name)
        dim = self.teacher.dim
        network = hub.build(lambda: AlignerNetwork(config, dim), weights, config.name)
        hub.fill(network, weights, config.name)
        self.network = network.eval().requires_grad_(False)

    def __call__(self, wave: np.ndarray, text: str) -> list[Word]:
        words = split(text)
        own = audio.resample(wave, RATE, self.teacher.sample_rate)
        frame = self.teacher.hop_length / self.teacher.sample_rate
        found = [
            (first * frame + frame / 2, last * frame + frame / 2)
            for first, last in self.frames(self.teacher(torch.from_numpy(own)), words)
        ]
        loudness = levels(wave)
        edges = [0.0]
        for (_, before), (after, _) in itertools.pairwise(found):
            edges.append(_quietest(loudness, before, after))
        edges.append(end(loudness, found[-1][1], len(wave) / RATE))
        return between(words, edges)

    @torch.inference_mode()
    def frames(self, x: Tensor, words: list[str]) -> list[tuple[int, int]]:
        """The first and the last frame of each word that spells it, of features (frames, dim).

        Raises:
            SpeechLMError: for a word of other letters, or more letters than frames.
        """
        from torchaudio.functional import forced_align

        letters, owners = [], []
        for number, word in enumerate(words):
            own = encode_text(word, self.letters)
            if not own:
                raise SpeechLMError("has a word of which the aligner knows no letter")
            letters += own
            owners += [number] * len(own)
        if min_frames(letters) > len(x):
            raise SpeechLMError("too short for its transcript")
        path, _ = forced_align(self.network(x[None]), torch.tensor([letters]), blank=0)
        spells = path[0].numpy()
        # A letter goes on while the class does; one that comes twice has a blank between.
        begins = (spells > 0) & (spells != np.concatenate([[0], spells[:-1]]))
        owner = np.array(owners)[np.cumsum(begins).clip(1) - 1]
        places = [np.flatnonzero((owner == n) & (spells > 0)) for n in range(len(words))]
        return [(int(each[0]), int(each[-1])) for each in places]


def _quietest(loudness: Floats, before: float, after: float) -> float:
    """Where it is quiet between two times, rather near the second."""
    first, last = round(before / STEP), min(round(after / STEP), len(loudness) - 1)
    if last <= first:
        return (before + after) / 2
    places = np.arange(first, last)
    cost = loudness[first:last] + AWAY * ((last - places) * STEP) ** 2
    return (first + int(cost.argmin()) + 0.5) * STEP


def load(folder: Path) -> CTCAligner:
    """The aligner in a model folder.

    Raises:
        SpeechLMError: when it is none, or its files do not fit together.
    """
    return CTCAligner(*hub.load_model(folder, AlignerConfig))
