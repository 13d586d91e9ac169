"""Corpora inside Debian packages: made-up packages, one real one, and machines that have none."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from speechlm.data import debian, decode
from speechlm.data.corpus import PreparedCorpus
from speechlm.data.prepare import prepare
from speechlm.data.sources import asterisk
from speechlm.data.splits import SPLITS
from speechlm.errors import SpeechLMError
from tests.data import trees
from tests.tools import require

DATA = Path(__file__).parents[2] / "data"


def prepared(name: str, tmp_path: Path, *overrides: str) -> PreparedCorpus:
    places = [f"output={tmp_path / 'out'}", f"package_cache={tmp_path / 'cache'}"]
    return prepare(DATA / f"{name}.yaml", [*places, *overrides])


Told = dict[str, tuple[str | None, str, str | None]]


@pytest.mark.parametrize(
    ("name", "make", "overrides", "told", "dropped"),
    [
        (
            "asterisk",
            trees.asterisk,
            [
                "languages=[it]",
                "packages=[asterisk-core-sounds-it,asterisk-core-sounds-it-g722]",
            ],
            {
                "asterisk-it-activated": ("Attivato.", "asterisk-carlo", "it"),
                "asterisk-it-digits-1": ("uno", "asterisk-carlo", "it"),
                "asterisk-it-letters-ascii36": (None, "asterisk-carlo", "it"),
            },
            {"tones and noises": 2, "shorter than 0.3 s": 1, "empty or unreadable": 1},
        ),
        (
            "festvox-ru",
            trees.festvox,
            [],
            {
                "festvox-ru_0001": ("Прядь золотистых волос.", "festvox-nsh", "ru"),
                "festvox-ru_0002": ("Да.", "festvox-nsh", "ru"),
                "festvox-ru_0003": (None, "festvox-nsh", "ru"),
            },
            {},
        ),
        (
            "fillets",
            trees.fillets,
            ["languages=[cs]"],
            {
                "fillets-cs-keys-rand-0": ("Ale v minulé místnosti", "fillets-cs-small", "cs"),
                "fillets-cs-magnet-rand-0": ("Další.", "fillets-cs-big", "cs"),
                "fillets-cs-jokes-joke": (None, "fillets-cs-big", "cs"),
            },
            {"no words in the script": 1},
        ),
        (
            "tuxpaint",
            trees.tuxpaint,
            [],
            {
                "tuxpaint-en-animals-cats-lion": ("A lion.", "tuxpaint-en", "en"),
                "tuxpaint-fr-animals-cats-lion": ("Un lion.", "tuxpaint-fr", "fr"),
                "tuxpaint-ca-animals-cats-lion": (None, "tuxpaint-ca", "ca"),
            },
            {},
        ),
        (
            "amazon-queen",
            trees.amazon_queen,
            [],
            {
                "amazon-queen-020006j1": (None, "amazon-queen-joe", "en"),
                "amazon-queen-020006p1": (None, "amazon-queen-cast", "en"),
                "amazon-queen-joe00011": (None, "amazon-queen-joe", "en"),
            },
            {"sound effects": 1},
        ),
    ],
)
def test_corpus(
    tmp_path: Path,
    name: str,
    make: Callable[[Path], None],
    overrides: list[str],
    told: Told,
    dropped: dict[str, int],
) -> None:
    make(tmp_path / "cache")
    corpus = prepared(name, tmp_path, *overrides)
    cuts = [cut for split in SPLITS for cut in corpus.cuts(split)]
    lines = {cut.id: cut.supervisions[0] for cut in cuts}
    assert {k: (line.text, line.speaker, line.language) for k, line in lines.items()} == told
    assert corpus.dropped == dropped
    for cut in cuts:
        heard = cut.load_audio()[0]
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(heard.size)))
        assert spectrum.argmax() * 16000 / heard.size == pytest.approx(440, abs=3)
        assert np.abs(heard).max() == pytest.approx(0.3, abs=0.03)
        assert (cut.custom or {}).get("bandwidth") == (4400 if name == "amazon-queen" else None)


def test_unknown_language(tmp_path: Path) -> None:
    trees.asterisk(tmp_path / "cache")
    packages = "packages=[asterisk-core-sounds-it]"
    with pytest.raises(SpeechLMError, match="asterisk: no de; languages: en, es, fr, it, ru"):
        prepared("asterisk", tmp_path, packages, "languages=[de]")


def test_a_package_is_unpacked_once_and_its_version_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(shutil.which("dpkg-deb") is not None, "dpkg-deb (Debian: dpkg)")
    tree = tmp_path / "tree"
    trees.text_file(tree / "usr/share/doc/tiny-sounds/list.txt", "hello")
    trees.text_file(
        tree / "DEBIAN/control",
        "Package: tiny-sounds\nVersion: 1:2.3-4\nArchitecture: all\n"
        "Maintainer: Nobody <nobody@example.org>\nDescription: sounds\n",
    )
    cache = tmp_path / "cache"
    cache.mkdir()
    archive = cache / "tiny-sounds_1%3a2.3-4_all.deb"  # as apt-get names a version with an epoch
    subprocess.run(["dpkg-deb", "-b", tree, archive], check=True, capture_output=True)

    root, versions = debian.unpacked(["tiny-sounds"], cache, "tiny")
    assert (root / "usr/share/doc/tiny-sounds/list.txt").read_text() == "hello"
    assert versions == {"tiny-sounds": "1:2.3-4"}
    monkeypatch.setenv("PATH", "")  # from here on, no tool may be needed
    assert debian.unpacked(["tiny-sounds"], cache, "tiny") == (root, versions)


def test_a_damaged_package(tmp_path: Path) -> None:
    require(shutil.which("dpkg-deb") is not None, "dpkg-deb (Debian: dpkg)")
    (tmp_path / "tiny-sounds_1_all.deb").write_bytes(b"no archive")
    with pytest.raises(SpeechLMError, match=r"^dpkg-deb -x .*: ") as caught:
        debian.unpacked(["tiny-sounds"], tmp_path, "tiny")
    assert "\n" not in str(caught.value)


def test_a_machine_without_the_package_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SpeechLMError, match="festvox-ru is read from Debian packages") as caught:
        prepared("festvox-ru", tmp_path)
    assert "\n" not in str(caught.value)
    for corpus in ("asterisk", "festvox-ru", "fillets", "tuxpaint", "amazon-queen"):
        assert corpus in str(caught.value)


def test_a_real_package(tmp_path: Path) -> None:
    require(shutil.which("apt-get") is not None, "apt-get (a Debian system)")
    require(shutil.which("dpkg-deb") is not None, "dpkg-deb (Debian: dpkg)")
    package = "asterisk-core-sounds-en"
    probe = subprocess.run(
        ["apt-get", "download", "--print-uris", package], cwd=tmp_path, capture_output=True
    )
    require(probe.returncode == 0, "package lists (apt-get update)")
    root, versions = debian.unpacked([package], tmp_path / "cache", "asterisk")
    assert versions[package]
    listing = root / "usr/share/doc" / package / "core-sounds-en.txt.gz"
    texts = asterisk.transcripts(trees.unzipped(listing))
    assert texts["agent-loginok"] == "Agent logged in."
    assert len(texts) > 500


def test_g722_that_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "is.g722"
    path.touch()
    with pytest.raises(SpeechLMError, match=r"is\.g722"):
        decode.read_g722(path)
