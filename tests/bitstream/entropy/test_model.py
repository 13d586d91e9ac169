"""A file of weights is a model, or is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from speechlm.bitstream.entropy import EntropyModel
from speechlm.errors import SpeechLMError

from .models import arrays, model


def test_a_file_gives_the_model_and_what_it_says_of_it(tmp_path):
    path = tmp_path / "context.safetensors"
    save_file(arrays(), path, {"codec": "0123abcd"})
    loaded, facts = EntropyModel.load(path)
    assert loaded.hash == model().hash
    assert (loaded.num_codebooks, loaded.codebook_size) == (4, 32)
    assert facts == {"codec": "0123abcd"}


def test_any_other_weight_is_another_hash():
    hashes = {model().hash}
    for name, array in arrays().items():
        changed = arrays()
        changed[name] = array ^ 1
        hashes.add(EntropyModel(changed).hash)
    assert len(hashes) == 1 + len(arrays())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("number"), "has no number"),
        (lambda a: a.update(number=a["number"][:-1]), "is not num_codebooks \\+ 1"),
        (lambda a: a.update(number=a["number"].astype(np.int16)), "number is not int8"),
        (lambda a: a.update({"join.bias": a["join.bias"][:, :-1]}), "join.bias is not"),
        (lambda a: a.update({"look.shift": a["look.shift"] + 99}), "shift of 107"),
        (lambda a: a.update({"enter.shift": np.asarray(a["enter.shift"] - 99)}), "shift of -94"),
        (lambda a: a.update({"score.bias": a["score.bias"] + (1 << 24)}), "too large"),
    ],
)
def test_a_file_that_holds_no_model_is_refused_in_one_line(tmp_path, change, message):
    path = tmp_path / "context.safetensors"
    broken = arrays()
    change(broken)
    save_file(broken, path)
    with pytest.raises(SpeechLMError, match=message) as error:
        EntropyModel.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_of_something_else_is_refused_in_one_line(tmp_path):
    path = tmp_path / "context.safetensors"
    path.write_bytes(b"not weights")
    for broken in (path, tmp_path / "absent.safetensors"):
        with pytest.raises(SpeechLMError, match="safetensors") as error:
            EntropyModel.load(broken)
        assert "\n" not in str(error.value)
