/** The .slm bitstream of speechlm, written from its specification: docs/spec of the project. */
export {EntropyModel} from "./entropy-model.js";
export {BitstreamError, TruncatedError} from "./errors.js";
export {PacketReader, packetSink} from "./packets.js";
export {Reader} from "./reader.js";
export {readSafetensors} from "./safetensors.js";
export {Writer, defaultChunkFrames} from "./writer.js";
