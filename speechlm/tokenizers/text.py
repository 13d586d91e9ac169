"""Text to pieces and back, by sentencepiece."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from speechlm.errors import SpeechLMError
from speechlm.tokenizers.sentencepiece_utils import learn
from speechlm.utils.files import atomic_path

FILE = "text.model"
KINDS = ("char", "unigram", "bpe")
BYTES = 256


class TextTokenizer:
    """A sentencepiece model: text to pieces in [0, size), and back.

    No text is unknown: a character that training did not see becomes the bytes of its UTF-8. The
    model normalises text (NFKC, single spaces, and lower case unless trained otherwise), and does
    so for every user of its file.
    """

    def __init__(self, model: bytes):
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    @property
    def size(self) -> int:
        """Number of pieces."""
        return int(self._processor.get_piece_size())

    @property
    def pieces(self) -> list[str]:
        """All pieces in order, as sentencepiece spells them."""
        return [self._processor.id_to_piece(number) for number in range(self.size)]

    @property
    def scores(self) -> list[float]:
        """The logarithm of the probability of each piece."""
        return [float(self._processor.get_score(number)) for number in range(self.size)]

    @property
    def spellings(self) -> list[str]:
        """The characters of each piece, with a space where a word begins; none of bytes."""
        special = re.compile(r"<(?:unk|s|/s|pad|0x[0-9A-F]{2})>")
        return [special.sub("", piece).replace("\u2581", " ") for piece in self.pieces]

    def encode(self, text: str) -> list[int]:
        """The pieces of a text."""
        return [int(each) for each in self._processor.encode(text)]

    def decode(self, pieces: list[int]) -> str:
        """The text of pieces: normalised; bytes that are no UTF-8 become U+FFFD."""
        return str(self._processor.decode(pieces))

    def normalise(self, text: str) -> str:
        """What ``decode(encode(text))`` gives."""
        return self.decode(self.encode(text))

    def known(self, text: str) -> str:
        """``text`` with a space in place of characters that training did not see; single spaces."""
        parts = [each if self._is_known(each) else " " for each in text]
        return " ".join("".join(parts).split())

    def _is_known(self, character: str) -> bool:
        pieces = self._processor.encode(character)
        return not any(self._processor.is_byte(each) for each in pieces)

    @classmethod
    def load(cls, path: str | Path) -> TextTokenizer:
        """Read a model file.

        Raises:
            SpeechLMError: when there is none, or it is not sentencepiece's.
        """
        try:
            found = cls(Path(path).read_bytes())
        except FileNotFoundError:
            raise SpeechLMError(
                f"{path}: no such file; make one with speechlm text-tokenizer {path} TEXTS"
            ) from None
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "not a sentencepiece model"
            raise SpeechLMError(f"{path}: {reason}") from None
        if not found.size:  # as an empty file is to sentencepiece
            raise SpeechLMError(f"{path}: not a sentencepiece model: it has no pieces")
        return found

    def save(self, path: str | Path) -> None:
        """Write the model file."""
        with atomic_path(path) as temporary:
            temporary.write_bytes(self.model)

    @classmethod
    def train(
        cls, texts: Iterable[str], kind: str = "char", size: int = 512, lower: bool = True
    ) -> TextTokenizer:
        """Train on texts; the same texts give the same model.

        Args:
            kind: ``char`` (one piece a character), ``unigram`` or ``bpe``.
            size: pieces at most, of which 257 are bytes and what no text has; fewer where the texts
                do not give as many.
            lower: make everything lower case.

        Raises:
            SpeechLMError: for an unknown kind, no text, or too small a size.
        """
        if kind not in KINDS:
            raise SpeechLMError(f"a text tokenizer's kind is {', '.join(KINDS)}, not {kind}")
        lines = [text for text in texts if text.strip()]
        if not lines:
            raise SpeechLMError("no text to train a tokenizer on")
        model = learn(
            lines,
            f"a text tokenizer of {size} pieces",
            model_type=kind,
            vocab_size=size,
            hard_vocab_limit=False,
            byte_fallback=True,
            normalization_rule_name="nmt_nfkc_cf" if lower else "nmt_nfkc",
        )
        return cls(model)
