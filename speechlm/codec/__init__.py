"""The streaming codec: encoder, quantizer, decoder, and their use."""

from speechlm.codec.base import Codec, StreamDecoder, StreamEncoder
from speechlm.codec.config import CodecConfig
from speechlm.codec.load import load
from speechlm.codec.network import CodecNetwork
from speechlm.codec.neural import NeuralCodec

__all__ = [
    "Codec",
    "CodecConfig",
    "CodecNetwork",
    "NeuralCodec",
    "StreamDecoder",
    "StreamEncoder",
    "load",
]
