"""Adapting a language model to recordings with their texts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from speechlm import hub
from speechlm.adapt.comparison import Cells, ComparisonRow, compared
from speechlm.adapt.measure import AFTER, BEFORE, PAGE, held_out, models, recognisers
from speechlm.adapt.options import AdaptOptions
from speechlm.data.align import align
from speechlm.data.batches.task_mixture import MixtureConfig, TaskConfig
from speechlm.data.splits import SPLITS
from speechlm.data.tokenize import tokenize
from speechlm.data.tokens import FILE, Tokens
from speechlm.errors import SpeechLMError
from speechlm.evaluation.lm import suite
from speechlm.evaluation.lm.config import ASRConfig, LMSuiteConfig, SamplingConfig, TTSConfig
from speechlm.evaluation.results import Results
from speechlm.lm.config import LMConfig
from speechlm.lm.language_model import LanguageModel
from speechlm.report import suites as report
from speechlm.tokenizers.text import FILE as TEXT_MODEL
from speechlm.training.config import OptimizerConfig, TrainingConfig
from speechlm.training.lm import LMLossConfig, LMObjective, LMRecipe
from speechlm.training.masking import MaskConfig

COLUMNS = {
    "bits": {"title": "Units", "unit": "bits/s", "digits": 1, "better": "lower"},
}
LENGTH = 512
"""Columns of a row of a batch."""


class LMAdaptation:
    """The tasks, losses and masks of ``recipes/lm-units.yaml`` at a tenth of its rate.

    The units stay as they are. A model that reads word by word needs to know when each word is
    spoken: the recordings are aligned for it.
    """

    family = "lm"

    def __init__(self, options: AdaptOptions):
        self.options = options
        self.config, _ = hub.load_model(options.model, LMConfig)
        model = LanguageModel.from_pretrained(options.model)
        model.tokenizer()  # raises where the model does not name one
        self.units = model.units
        self.sample_rate = model.units.sample_rate

    @property
    def _tokens(self) -> Path:
        return self.options.out / "tokens"

    def objective(self, training: TrainingConfig) -> LMObjective:
        """What is trained, on the recordings as units.

        Raises:
            SpeechLMError: when texts are missing.
        """
        options, config = self.options, self.config
        self._check_texts()
        if config.wordwise_tts and not (self._tokens / FILE).is_file():
            align(options.corpus, options.language or "en", None)
        tokenize(options.corpus, self._tokens, config.units, self.units.num_codebooks)
        synthesis = "tts-wordwise" if config.wordwise_tts else "tts"
        weights = {"speech": 4.0, "asr": 4.0, synthesis: 6.0}
        if self._has_voices():
            weights[f"{synthesis}-voice"] = 2.0
        return LMObjective(
            LMRecipe(
                lm=replace(config, name=options.new_name(config.name)),
                data=MixtureConfig(
                    corpora=[str(self._tokens)],
                    num_codebooks=self.units.num_codebooks,
                    text=str(hub.find_model(options.model) / TEXT_MODEL),
                    tasks={name: TaskConfig(weight=weight) for name, weight in weights.items()},
                    length=min(LENGTH, config.max_position_embeddings),
                ),
                loss=LMLossConfig(text=5.0, ctc=1.0 if config.ctc else 0.0),
                mask=MaskConfig(
                    speech=0.12,
                    speech_given_text=0.15,
                    text=0.3,
                    cfg_text_dropout=0.1,
                    semantic_dropout=0.75 if config.semantic_stream else 0.0,
                ),
                init=options.model,
                training=training,
            )
        )

    def optimizer(self) -> OptimizerConfig:
        """Low rates, since the model is trained already."""
        return OptimizerConfig(kind="muon", rate=2e-4, warmup=20, weight_decay=0.1)

    def finish(self) -> list[str]:
        """Complete the model folder; lines to print."""
        return ["units and text pieces: as before"]

    def compare(self) -> list[ComparisonRow]:
        """Likelihood of units, errors of the model's transcripts, and of its synthesised speech."""
        found = {name: self._suite(name, model) for name, model in models(self.options).items()}
        rows = compared(
            "", COLUMNS, *(self._bits(model) for model in models(self.options).values())
        )
        for section, prefixes in (("asr", ("wer",)), ("tts", ("cer:", "wer:", "ended"))):
            if section not in found[BEFORE] or section not in found[AFTER]:
                continue
            first, second = found[BEFORE][section], found[AFTER][section]
            columns = {n: f for n, f in first.columns.items() if n.startswith(prefixes)}
            rows += compared(section.upper(), columns, _cells(first), _cells(second))
        return rows

    def _bits(self, name: str) -> list[Cells]:
        model, tokens = LanguageModel.from_pretrained(name), Tokens(self._tokens)
        cells: list[Cells] = []
        for entry in tokens.entries:
            if entry.split == "test" and entry.frames:
                codes = tokens.codes(entry)[: self.units.num_codebooks].astype("int64")
                score = model.score(codes)
                cells.append({"bits": {"value": score.rate, "weight": score.length}})
        return cells

    def _suite(self, name: str, model: str) -> dict[str, Results]:
        clips = held_out(self.options)
        config = LMSuiteConfig(
            title=f"{self.options.model}, {name} its adaptation",
            model=model,
            tokens=[str(self._tokens)],
            asr=ASRConfig(clips),
            tts=TTSConfig(clips, sampling=SamplingConfig(temperature=0.5, top_p=0.9)),
            recognisers=recognisers(self.options),
            page=PAGE,
        )
        out = self.options.out / "evaluation" / name
        finished = suite.execute(config, out)
        report.write(finished, out)
        return finished.results.sections

    def _has_voices(self) -> bool:
        """Whether some speaker has two recordings, in training and in validation: a voice to give
        is of another recording."""
        entries = list(Tokens(self._tokens).entries)
        counts = {
            split: Counter(e.speaker for e in entries if e.split == split and e.speaker)
            for split in ("train", "dev")
        }
        return all(max(found.values(), default=0) > 1 for found in counts.values())

    def _check_texts(self) -> None:
        facts = json.loads((self.options.corpus / "corpus.json").read_text("utf-8"))
        for split in SPLITS:
            if not facts["splits"][split]["with_text"]:
                raise SpeechLMError(
                    f"{self.options.folder}: no texts of the {split} recordings: put NAME.txt "
                    "beside each, or a list of them there (data/README.md), and remove "
                    f"{self.options.out}"
                )


def _cells(section: Results) -> list[Cells]:
    """The cells of the model, which comes first in its section, by row."""
    rows: list[dict[str, Cells]] = section.data["rows"][section.systems[0]]
    return [row["cells"] for row in rows]
