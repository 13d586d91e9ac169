"""Compiling the networks of an objective with ``torch.compile``."""

from __future__ import annotations

from functools import cache

import torch

from speechlm.errors import SpeechLMError
from speechlm.nn import PackedSequences
from speechlm.training.objective import Objective

BACKEND = "inductor"


def compile_networks(objective: Objective) -> None:
    """Compile the objective's networks in place; their weights keep their names.

    Raises:
        SpeechLMError: when the objective names none.
    """
    networks = objective.networks()
    if not networks:
        raise SpeechLMError(
            "training.compile: is for codecs, vocoders and language models of the backbone llama; "
            "leave it out"
        )
    _leave_attention()
    for network in networks:
        network.compile(backend=BACKEND)


@cache
def _leave_attention() -> None:
    """Packed examples have other lengths in each batch, each of which would be compiled anew."""
    PackedSequences.apply = torch.compiler.disable(PackedSequences.apply)  # type: ignore[method-assign]
