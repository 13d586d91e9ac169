"""Adapting a vocoder: its units stay as they are."""

from __future__ import annotations

from dataclasses import replace

import torch

from speechlm import hub
from speechlm.adapt.comparison import Cells, ComparisonRow, compared
from speechlm.adapt.measure import AFTER, BEFORE, held_out, models, systems_compared
from speechlm.adapt.options import AdaptOptions
from speechlm.data.corpus import read_cuts
from speechlm.evaluation.clips import find
from speechlm.evaluation.metrics import named
from speechlm.evaluation.results import cell
from speechlm.tokenizers.load import load as load_units
from speechlm.training.adversarial import AdversarialConfig
from speechlm.training.config import OptimizerConfig, TrainingConfig
from speechlm.training.vocoder import VocoderDataConfig, VocoderObjective, VocoderRecipe
from speechlm.vocoder import VocodedUnits
from speechlm.vocoder.config import VocoderConfig

TIMED = ["mel", "f0", "voicing"]


class VocoderAdaptation:
    """The losses of ``recipes/vocoder.yaml`` against discriminators, at a low rate.

    Where one person speaks in all recordings, theirs becomes the voice without a prompt.
    """

    family = "vocoder"

    def __init__(self, options: AdaptOptions):
        self.options = options
        self.config, _ = hub.load_model(options.model, VocoderConfig)
        self.sample_rate = self.config.sample_rate

    def objective(self, training: TrainingConfig) -> VocoderObjective:
        """What is trained."""
        options = self.options
        return VocoderObjective(
            VocoderRecipe(
                units=options.model,
                default_speaker=self._speaker(),
                init=options.model,
                vocoder=replace(self.config, name=options.new_name(self.config.name)),
                data=VocoderDataConfig(
                    corpora=[str(options.corpus)], cache=str(options.out / "tokens")
                ),
                adversarial=AdversarialConfig(start=0),
                training=training,
            )
        )

    def optimizer(self) -> OptimizerConfig:
        """Low rates, since the model is trained already."""
        return OptimizerConfig(kind="muon", rate=5e-4, warmup=20)

    def finish(self) -> list[str]:
        """Complete the model folder; lines to print."""
        speaker = self._speaker()
        voice = "as before" if speaker is None else f"that of {speaker}, the only speaker"
        return [f"voice without a prompt: {voice}", "units: as before"]

    def compare(self) -> list[ComparisonRow]:
        """Resynthesis of recordings from their units, in their own voice."""
        rows = systems_compared(
            self.options, "units", ["speaker"], sample_rate=self.sample_rate, listen=True
        )
        return [*self._timed(), *rows]

    def _timed(self) -> list[ComparisonRow]:
        """What compares moments: with the true durations of units, which :meth:`compare` lacks."""
        metrics = named(TIMED)
        columns = {
            m.name: {"title": m.title, "unit": m.unit, "digits": m.digits, "better": m.better}
            for m in metrics
        }
        tokenizer = load_units(self.options.model, framed=True)
        networks = {
            name: VocodedUnits.from_pretrained(model).network
            for name, model in models(self.options).items()
        }
        cells: dict[str, list[Cells]] = {name: [] for name in networks}
        for clip in find(held_out(self.options)):
            wave = clip.read(self.sample_rate).copy()  # for torch, which wants to be able to write
            batch = torch.from_numpy(wave)[None]
            with torch.inference_mode():
                units = tokenizer.encode(batch)
                for name, network in networks.items():
                    estimate = network(units, batch)[0][0, : len(wave)].numpy()
                    target = wave[: len(estimate)]
                    cells[name].append(
                        {m.name: cell(m(target, estimate, self.sample_rate)) for m in metrics}
                    )
        return compared("true durations", columns, cells[BEFORE], cells[AFTER])

    def _speaker(self) -> str | None:
        """Who speaks in all recordings; None when there are several, or it is not known."""
        speakers = {
            supervision.speaker
            for cut in read_cuts([self.options.corpus], "train")
            for supervision in cut.supervisions
        }
        return speakers.pop() if len(speakers) == 1 else None
