"""The language model that the package ships."""

from __future__ import annotations

import numpy as np

from speechlm.codec import NeuralCodec
from speechlm.lm.load import LanguageModel
from speechlm.lm.sampling import GREEDY


def test_it_speaks_the_units_of_the_shipped_codec() -> None:
    model, codec = LanguageModel.from_pretrained(), NeuralCodec.from_pretrained()
    assert model.units.weights == codec.weights_hash
    assert model.tokenizer().units == model.units
    said = np.stack(list(model.say("good morning", 8, GREEDY)), axis=1)
    assert said.shape == (4, 8)
    assert said.min() >= 0
    assert said.max() < codec.cardinality
