"""Systems: their bits are counted right, and they give back what they were given."""

from __future__ import annotations

import ctypes
import shutil
import sys

import numpy as np
import pytest

from speechlm import audio
from speechlm.errors import SpeechLMError
from speechlm.evaluation.config import SystemConfig
from speechlm.evaluation.metrics import METRICS
from speechlm.evaluation.metrics.resample import resample
from speechlm.evaluation.roundtrip import code, decoded, lined_up
from speechlm.evaluation.store import key
from speechlm.evaluation.systems import Absent, Failed, Spec, build, specs
from speechlm.evaluation.systems import model as systems_model
from speechlm.evaluation.systems.amr_wb import LIBRARY
from speechlm.evaluation.systems.codec2 import MODES
from tests.tools import require

from .voices import RATE, voice


def needs(kind: str) -> None:
    """Skip, saying why, where a peer's encoder is not installed."""
    programs = {"speex": "speexenc", "codec2": "c2enc"}
    if kind in programs:
        name = programs[kind]
        require(shutil.which(name) is not None, f"{name} (Debian: {kind})")
    if kind == "amr-wb":
        try:
            ctypes.CDLL(LIBRARY)
        except OSError:
            require(False, f"{LIBRARY} (Debian: libvo-amrwbenc0)")


PEERS = [("opus", 6), ("opus", 16), ("speex", 8), ("amr-wb", 6.6), ("codec2", 1.3), ("codec2", 0.7)]


@pytest.mark.parametrize(("kind", "kbps"), PEERS)
def test_peers_spend_what_they_say_and_sound_like_the_original(kind, kbps, tmp_path):
    needs(kind)
    wave = voice(2.0)
    system = build(Spec(kind, kind, kbps, RATE))
    coded = code(system, wave, RATE, tmp_path / "out.flac")
    real = coded.payload_bits / coded.seconds / 1000
    assert kbps * 0.6 <= real <= kbps * 1.06  # Opus's rate varies with what it is given
    assert 8 * coded.file_bytes >= coded.payload_bits
    assert -0.0002 < coded.delay < 0.06
    pair = lined_up(wave, tmp_path / "out.flac")
    noise = np.random.default_rng(0).normal(0, 0.1, len(wave))
    near, far = (
        METRICS["mel"](pair.reference, pair.estimate, RATE),
        METRICS["mel"](wave, noise, RATE),
    )
    assert near.value < 0.6 * far.value


@pytest.mark.parametrize("samples", [1, 319, 320, 16001])
@pytest.mark.parametrize("kind", ["original", "opus", "amr-wb", "codec2"])
def test_any_number_of_samples_goes_through(kind, samples, tmp_path):
    needs(kind)
    system = build(Spec(kind, kind, {"amr-wb": 12.65, "codec2": 3.2}.get(kind, 12), RATE))
    wave = voice(1.1)[:samples]
    encoded = system.encode(resample(wave, RATE, system.sample_rate))
    assert encoded.payload_bits > 0
    assert len(decoded(system, encoded, wave, RATE)) == samples


def test_the_original_comes_back_as_it_is(tmp_path):
    wave = np.round(voice() * 32768) / 32768
    coded = code(build(Spec("original", "original", 0, RATE)), wave, RATE, tmp_path / "out.flac")
    assert (coded.payload_bits, coded.delay, coded.note) == (16 * len(wave), 0, "")


def test_a_model_is_priced_by_its_file_and_its_codes_are_kept(model, tmp_path):
    system = build(Spec("model", "tiny", 0.4, RATE, str(model)))
    assert (system.num_codebooks, system.codebook_size, system.tokens_per_second) == (2, 16, 100)
    wave = voice()
    coded = code(system, wave, RATE, tmp_path / "out.flac")
    codes = np.load(tmp_path / "out.npy")
    assert codes.shape == (2, system.codec.num_frames(len(wave)))
    assert coded.payload_bits == codes.size * 4
    assert coded.payload_bits / 8 <= coded.file_bytes <= coded.payload_bits / 8 + 60
    assert system.streamed_difference(wave) == {"codes": 0.0, "wave": pytest.approx(0, abs=1e-5)}


@pytest.mark.parametrize("mode", ["vbr", "cbr"])
def test_a_model_at_a_bitrate_is_judged_by_its_file(mode, sample, tmp_path):
    system = build(Spec("model", "ours", 1.5, RATE, mode=mode))
    wave, _ = audio.read(sample)
    coded = code(system, wave, RATE, tmp_path / "out.flac")
    assert coded.payload_bits == 8 * coded.file_bytes
    assert coded.payload_bits / coded.seconds == pytest.approx(1500, rel=0.03)
    assert np.load(tmp_path / "out.npy").min() == -1
    assert system.fingerprint != build(Spec("model", "ours", 1.5, RATE)).fingerprint


COPY = f"{sys.executable} -c 'import shutil, sys; shutil.copy(*sys.argv[1:3])' {{in}} {{out}}"


def test_any_command_line_is_a_system(tmp_path):
    config = SystemConfig("command", [8.0], encode=COPY, decode=COPY, suffix=".wav")
    (spec,) = specs("mine", config, RATE)
    coded = code(build(spec), voice(), RATE, tmp_path / "out.flac")
    assert spec.name == "mine 8"
    assert coded.file_bytes == 44 + 2 * len(voice())
    assert (coded.delay, coded.note) == (0, "")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit('no such rate')", "ended with status 1: no such rate"),
        ("pass", "wrote no readable audio"),
    ],
)
def test_a_command_that_fails_says_how(program, reason, tmp_path):
    decode = f'{sys.executable} -c "{program}" {{in}} {{out}}'
    config = SystemConfig("command", encode=COPY, decode=decode)
    system = build(specs("mine", config, RATE)[0])
    with pytest.raises(Failed, match=reason):
        code(system, voice(), RATE, tmp_path / "out.flac")
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed_is_absent_by_name(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    for kind, kbps, name in (("speex", 8.5, "speexenc"), ("codec2", 2.4, "c2enc")):
        with pytest.raises(Absent, match=f"{name} is not installed"):
            build(Spec(kind, kind, kbps, RATE))
    with pytest.raises(Absent, match="'lyra' is not found"):
        build(Spec("command", "lyra", 3, RATE, None, "lyra {in} {out}", "lyra {in} {out}"))
    with pytest.raises(Absent, match=r"no 5 kbps mode, only 3\.2"):
        build(Spec("codec2", "codec2", 5, RATE))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (SystemConfig("opsu", [6]), "'opsu' is none of original, model, command, opus"),
        (SystemConfig("opus"), "needs kbps"),
        (SystemConfig("command", encode="x {in} {out}"), "needs encode: and decode:"),
    ],
)
def test_declarations_that_make_no_sense_are_refused(config, reason):
    with pytest.raises(SpeechLMError, match=reason):
        specs("it", config, RATE)


def test_a_command_without_its_places_is_refused():
    with pytest.raises(SpeechLMError, match=r"needs \{in\} and \{out\}"):
        build(Spec("command", "x", 0, RATE, None, "cp {in}", "cp {in} {out}"))


def test_fingerprints_tell_systems_apart(model):
    made = [Spec("opus", "opus", rate, RATE) for rate in (6, 9)]
    made += [Spec("model", "tiny", rate, RATE, str(model)) for rate in (0.2, 0.4)]
    made.append(Spec("opus", "opus", 6, 8000))
    assert len({build(spec).fingerprint for spec in made}) == len(made)


def test_raising_a_version_makes_another_system_of_the_same_weights(model, monkeypatch):
    system = build(Spec("model", "tiny", 0.2, RATE, str(model)))
    first = system.fingerprint
    monkeypatch.setattr(systems_model, "NETWORK_VERSION", systems_model.NETWORK_VERSION + 1)
    second = system.fingerprint
    monkeypatch.setattr(type(system), "version", system.version + 1)
    assert len({first, second, system.fingerprint}) == 3


@pytest.mark.parametrize("parts", [(), ("",), ("coded", None), ("coded", " ")])
def test_a_key_of_nothing_is_refused(parts):
    with pytest.raises(ValueError, match="a key of nothing"):
        key(*parts)


def test_keys_differ_in_every_part():
    assert len({key("a", 1), key("a", 2), key("b", 1), key("a1")}) == 4


def test_codec2_modes_are_of_the_rates_they_are_named_by():
    for kbps, (_, bits, samples) in MODES.items():
        assert bits / (samples / 8000) / 1000 == pytest.approx(kbps)
