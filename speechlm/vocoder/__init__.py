"""Units to sound in any voice, where units do not carry one themselves."""

from speechlm.vocoder.config import VocoderConfig
from speechlm.vocoder.model import VocodedUnits, load
from speechlm.vocoder.network import VocoderNetwork

__all__ = ["VocodedUnits", "VocoderConfig", "VocoderNetwork", "load"]
