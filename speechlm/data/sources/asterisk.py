"""Asterisk's voice prompts: one professional voice a language, G.722 at 16 kHz."""

from __future__ import annotations

import gzip
import re
from functools import partial
from pathlib import Path

from speechlm.data import debian, decode
from speechlm.data.config import VoicesConfig
from speechlm.data.corpus import CorpusSource
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError

VOICES = {
    "en": "en_US_f_Allison",
    "es": "es_MX_f_Allison",
    "fr": "fr_CA_f_June",
    "it": "it_IT_m_Carlo",
    "ru": "ru_RU_f_IvrvoiceRU",
}
NO_SPEECH = re.compile(
    r"silence/|(beep|beeperr|(as|des)cending-2tone|confbridge-(join|leave)|tt-monkeys)$"
)


def source(config: VoicesConfig) -> CorpusSource:
    """Fetch the packages and pair each prompt with its line of the package's transcript."""
    root, versions = debian.unpacked(config.packages, Path(config.package_cache), config.name)
    utterances, skipped = [], 0
    for language in config.languages:
        if language not in VOICES:
            raise SpeechLMError(f"asterisk: no {language}; languages: {', '.join(VOICES)}")
        voice = VOICES[language]
        package = f"asterisk-core-sounds-{language}"
        listing = root / "usr/share/doc" / package / f"core-sounds-{language}.txt.gz"
        texts = transcripts(gzip.decompress(listing.read_bytes()).decode("utf-8-sig"))
        sounds = root / "usr/share/asterisk/sounds" / voice
        for path in sorted(sounds.rglob("*.g722")):
            name = path.relative_to(sounds).with_suffix("").as_posix()
            if NO_SPEECH.match(name):
                skipped += 1
                continue
            utterances.append(
                Utterance(
                    id=f"asterisk-{language}-{name.replace('/', '-')}",
                    load=partial(decode.read_g722, path),
                    speaker=f"asterisk-{voice.rsplit('_')[-1].lower()}",
                    language=language,
                    text=texts.get(name),
                )
            )
    return CorpusSource(utterances, versions, {"tones and noises": skipped})


def transcripts(listing: str) -> dict[str, str | None]:
    """Parse ``name: text`` lines; the text is None where it does not say what the voice says.

    A remark in brackets (``spy-h323: H.323 (in inglese)``) may or may not be spoken, and a question
    mark inside a sentence of the Italian file (``sar? esattamente``) is a lost accent: such texts
    are dropped. Brackets around a sign (``at [@]``) only repeat the word.
    """
    texts: dict[str, str | None] = {}
    for line in listing.splitlines():
        name, colon, text = line.partition(":")
        if not colon or line.startswith(";"):
            continue
        text = re.sub(r"\[\W*\]", "", text).strip()
        unsure = re.search(r"[\[(<]", text) or re.search(r"\?(?=\s*\w)", text)
        texts[name.strip()] = None if unsure or not text else " ".join(text.split())
    return texts
