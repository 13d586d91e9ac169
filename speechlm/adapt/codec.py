"""Adapting a codec: its decoder alone, or all of it."""

from __future__ import annotations

import shutil
from dataclasses import replace

from speechlm import hub, whisper
from speechlm.adapt.comparison import ComparisonRow
from speechlm.adapt.measure import systems_compared
from speechlm.adapt.options import AdaptOptions
from speechlm.codec import NeuralCodec
from speechlm.codec.config import CodecConfig
from speechlm.errors import SpeechLMError
from speechlm.training.adversarial import AdversarialConfig
from speechlm.training.codec import CodecDataConfig, CodecLossConfig, CodecObjective, CodecRecipe
from speechlm.training.config import OptimizerConfig, TrainingConfig
from speechlm.training.losses.whisper_features import RATE as WHISPER_RATE
from speechlm.training.losses.whisper_features import WhisperFeatureConfig
from speechlm.training.quantization import QuantizationConfig
from speechlm.utils.terminal import errors

METRICS = ["distillmos", "pesq", "stoi", "mel"]
SHARES = 0.25, 0.5
"""Of the codebooks, at which models are compared."""


class CodecAdaptation:
    """The losses of ``recipes/codec-decoder.yaml`` at a third of its rate.

    Unless all is trained, encoder and quantizer stay as they are: codes, files and language models
    of the codec stay valid.
    """

    family = "codec"
    default_model = hub.DEFAULT_CODEC

    def __init__(self, options: AdaptOptions):
        self.options = options
        self.config, _ = hub.load_model(options.model, CodecConfig)
        self.sample_rate = self.config.sample_rate

    def objective(self, training: TrainingConfig) -> CodecObjective:
        """What is trained."""
        options = self.options
        # Files name the codec that they are of.
        name = options.new_name(self.config.name) if options.train_all else self.config.name
        return CodecObjective(
            CodecRecipe(
                name=name,
                codec=replace(self.config, name=name),
                init=options.model,
                decoder_only=not options.train_all,
                data=CodecDataConfig(corpora=[str(options.corpus)]),
                quantization=QuantizationConfig(
                    quantizer_bypass_steps=0,
                    variable_rate_prob=0.0 if options.train_all else 0.5,
                ),
                loss=CodecLossConfig(
                    complex_focus_hz=(1000.0, 2000.0),
                    level_rms=0.1,
                    commitment_warmup_steps=0,
                    asr_feature=_asr_feature(self.sample_rate),
                ),
                adversarial=AdversarialConfig(
                    start=0, weight=0.2, feature_matching=2.0, examples=12
                ),
                training=training,
            )
        )

    def optimizer(self) -> OptimizerConfig:
        """Low rates, since the model is trained already."""
        return OptimizerConfig(kind="muon", rate=3e-4, warmup=20)

    def finish(self) -> list[str]:
        """Complete the model folder; lines to print."""
        folder, base = self.options.adapted, hub.find_model(self.options.model)
        if not self.options.train_all:
            if (base / hub.CONTEXT).is_file():
                shutil.copyfile(base / hub.CONTEXT, folder / hub.CONTEXT)
            return ["codes: as before, so that .slm files and language models stay valid"]
        lines = [
            f"codes: others than those of {self.options.model}, so that its .slm files and "
            "language models do not fit this model"
        ]
        if (base / hub.CONTEXT).is_file():
            lines.append(
                f"entropy model: left out, for that of {self.options.model} is of other codes; "
                "files are larger until one is trained (recipes/entropy-model.yaml)"
            )
        return lines

    def compare(self) -> list[ComparisonRow]:
        """Both models at several bitrates, with all frames of as many codebooks."""
        options = self.options
        codec = NeuralCodec.from_pretrained(options.model)
        rates = sorted({codec.kbps(max(1, round(share * codec.num_codebooks))) for share in SHARES})
        return systems_compared(options, "model", METRICS, sample_rate=self.sample_rate, kbps=rates)


def _asr_feature(sample_rate: int) -> WhisperFeatureConfig:
    """The feature loss where Whisper is installed and takes the sample rate."""
    try:
        if sample_rate != WHISPER_RATE:
            raise SpeechLMError(f"Whisper takes {WHISPER_RATE} Hz, not {sample_rate}")
        whisper.find(None)
    except SpeechLMError as reason:
        errors.print(f"without the ASR feature loss: {reason}", markup=False, soft_wrap=True)
        return WhisperFeatureConfig()
    return WhisperFeatureConfig(weight=1.0, examples=8)
