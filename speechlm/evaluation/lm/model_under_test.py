"""The model that a suite judges, with all that its parts share."""

from __future__ import annotations

from functools import cached_property
from glob import glob
from pathlib import Path

import numpy as np
import torch

from speechlm.data.batches.task_examples import open_corpora
from speechlm.data.tokens import FILE, Tokens
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.evaluation.clips import Clip
from speechlm.evaluation.lm.asr_judges import ASRJudges
from speechlm.evaluation.lm.config import LMSuiteConfig
from speechlm.lm import pipelines
from speechlm.lm.generate.sampling import GREEDY
from speechlm.lm.language_model import LanguageModel
from speechlm.tokenizers.base import UnitTokenizer
from speechlm.types import Codes, Wave


class ModelUnderTest:
    """A language model under judgement.

    Raises:
        SpeechLMError: when it cannot be loaded.
    """

    def __init__(self, config: LMSuiteConfig, ears: ASRJudges):
        self.config, self.ears = config, ears
        self.model = LanguageModel.from_pretrained(config.model)
        self.name = self.model.network.config.name
        self.num_codebooks = self.model.units.num_codebooks
        self.seconds = 1 / self.model.units.frame_rate
        """Of a frame."""

    @cached_property
    def tokenizer(self) -> UnitTokenizer:
        """What makes sound of units. Raises: SpeechLMError, when it is not there."""
        return self.model.tokenizer(self.config.units)

    @cached_property
    def tokens(self) -> list[Tokens]:
        """The tokenized corpora. Raises: SpeechLMError, unless they hold the model's units."""
        found = [Path(path) for pattern in self.config.tokens for path in sorted(glob(pattern))]  # noqa: PTH207 (may be absolute)
        folders = [folder for folder in found if (folder / FILE).is_file()]
        if not folders:
            patterns = ", ".join(self.config.tokens) or "tokens="
            raise SpeechLMError(
                f"no tokenized corpus at {patterns}: make some by speechlm tokenize"
            )
        corpora, units = open_corpora(folders, self.num_codebooks)
        if units != self.model.units:
            raise SpeechLMError(f"the model speaks {self.model.units}, {folders[0]} holds {units}")
        return corpora

    def warm(self) -> None:
        """Generate a little, so that what is copied or compiled once is not part of any figure."""
        stream = self.tokenizer.stream_decoder()
        for _ in pipelines.decode_frames(
            self.model.continue_speech(self.model.no_codes, 5, GREEDY), stream
        ):
            pass

    def split(self, split: str) -> list[Utterance]:
        """The utterances of a split of all corpora; ids and speakers name the corpus, too."""
        return [
            tokens.utterance(entry)
            for tokens in self.tokens
            for entry in tokens.entries
            if entry.split == split and entry.frames
        ]

    def codes(self, utterance: Utterance) -> Codes:
        """The model's codebooks of an utterance, int64 (codebooks, frames)."""
        return utterance.codes()[: self.num_codebooks].astype(np.int64)

    @cached_property
    def trained_texts(self) -> set[str]:
        """Texts of the training splits, as the model spells them."""
        found = {one.text for one in self.split("train")} - {None}
        return {self.model.text.normalise(text) for text in found if text}

    def wave(self, clip: Clip) -> Wave:
        """A recording (samples,) at the rate of the units."""
        return clip.read(self.rate).copy()  # for torch, which wants to be able to write

    @property
    def rate(self) -> int:
        return self.model.units.sample_rate

    def given_back(self, wave: Wave) -> Wave:
        """What is left of ``wave`` (samples,) in its units: the best that a model could say."""
        batch = torch.from_numpy(wave)[None]
        units = self.tokenizer.encode(batch)
        # Whole, where it may be longer since units do not tell how long they last.
        length = None if self.tokenizer.units.variable else len(wave)
        return self.tokenizer.decode(units, length, voice=batch)[0].cpu().numpy()
