"""How tokens are sampled."""

from __future__ import annotations

import math
from dataclasses import dataclass

from speechlm.errors import SpeechLMError

GREEDY_BELOW = 1e-6
"""Temperature below which sampling is greedy: logits divided by it overflow in float32."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are sampled.

    Attributes:
        temperature: divides the logits; 0 (or less than ``GREEDY_BELOW``) is greedy.
        top_k: sample from the k most probable tokens; 0 for all.
        top_p: nucleus sampling: the smallest set of tokens whose probability exceeds p.
        repetition_window: seconds for which speech may repeat itself without a penalty
            (:class:`~speechlm.lm.generate.logits.LoopPenalty`); 0 for no limit.
        guidance: scale of classifier-free guidance (Ho and Salimans 2022), 1 for none: level 0 is
            guided by the model without text, the levels below by the model without its semantic
            stream. For models trained with ``mask.cfg_text_dropout`` or ``mask.semantic_dropout``;
            takes two or three times the compute. None: the default of the model.
        best_of: number of candidates of text to speech, of which the one is kept that the model's
            own ASR scores highest; None: the default of the model.
        seed: of the random numbers. Example i of a batch uses ``seed + i``.
        seeds: of the examples of a batch, one for each; none: as ``seed`` says.
        min_seconds: minimum length of a continuation.

    Raises:
        SpeechLMError: for a value outside its range.
    """

    temperature: float = 0.9
    top_k: int = 0
    top_p: float = 0.95
    repetition_window: float = 1.0
    guidance: float | None = None
    best_of: int | None = None
    seed: int = 0
    min_seconds: float = 0.0
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise SpeechLMError(f"temperature is 0 or more and finite, not {self.temperature:g}")
        if self.top_k < 0:
            raise SpeechLMError(f"top-k is 0 (all) or more, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise SpeechLMError(f"top-p is above 0 and at most 1, not {self.top_p:g}")
        if self.guidance is not None and not 0 <= self.guidance < math.inf:
            raise SpeechLMError(f"guidance is 0 or more and finite, not {self.guidance:g}")
        if self.best_of is not None and self.best_of < 1:
            raise SpeechLMError(f"best-of is 1 or more, not {self.best_of}")
        if not 0 <= self.repetition_window < math.inf:
            raise SpeechLMError(
                f"repetition_window is 0 (no limit) or seconds, not {self.repetition_window:g}"
            )
        if not 0 <= self.min_seconds < math.inf:
            raise SpeechLMError(f"min_seconds is 0 or above, and finite, not {self.min_seconds:g}")

    @property
    def is_greedy(self) -> bool:
        """Whether the most probable token is taken."""
        return self.temperature < GREEDY_BELOW

    @property
    def uses_guidance(self) -> bool:
        """Whether guidance other than 1 is set."""
        return self.guidance not in (None, 1)


GREEDY = Sampling(temperature=0.0)
TTS_SAMPLING = Sampling(temperature=0.5, top_p=0.9)
"""Default of text to speech, where intelligibility matters more than variety."""
