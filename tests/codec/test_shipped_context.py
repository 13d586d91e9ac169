"""The shipped codec and its entropy model belong together."""

from __future__ import annotations

from speechlm import hub
from speechlm.codec import NeuralCodec


def test_a_context_model_that_is_shipped_is_that_of_these_weights():
    """After the codec is trained anew: speechlm train recipes/entropy-model.yaml, or remove it."""
    codec = NeuralCodec.from_pretrained(None)
    path = hub.find_model(None) / hub.CONTEXT
    assert path.is_file() == (codec.entropy is not None)
    if codec.entropy is not None:
        model = codec.entropy.model
        assert (model.num_codebooks, model.codebook_size) == (
            codec.num_codebooks,
            codec.codebook_size,
        )
        assert path.stat().st_size < 2 << 20
