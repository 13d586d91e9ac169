/** Payloads: the codes of a chunk as bytes. Frames are Uint16Arrays as long as their codes. */
import {pack, packedSize, unpack} from "./bitpacking.js";
import {concat} from "./bytes.js";
import {packCounts, unpackCounts} from "./counts.js";
import {BitstreamError} from "./errors.js";
import {RangeDecoder, RangeEncoder} from "./range-coder.js";

export const PACKED = 0;
export const RAGGED = 1;
export const ENTROPY = 2;
const MAX_ENTROPY_CODES = 2 ** 14;

/** The largest payload that a chunk of this shape may have. */
export function largestSize(levels, frames, bits) {
  return packedSize(levels * frames, bits) + 2 * frames + 2;
}

/**
 * The smallest payload of `frames`, and its coding. `ragged` says that it states how many codes each
 * frame has. `entropy` is an EntropyModel or null.
 */
export function encodePayload(frames, levels, bits, ragged, entropy) {
  const counts = frames.map((frame) => frame.length);
  const plain = {
    coding: ragged ? RAGGED : PACKED,
    payload: concat([ragged ? packCounts(counts, levels) : [], pack(frames, bits)]),
  };
  if (!entropy || !accepts(entropy, frames, levels)) return plain;
  const payload = concat([packCounts(counts, levels), rangeCode(frames, entropy)]);
  return payload.length < plain.payload.length ? {coding: ENTROPY, payload} : plain;
}

function accepts(entropy, frames, levels) {
  const codes = levels * frames.length;
  if (levels > entropy.numCodebooks || codes < 1 || codes > MAX_ENTROPY_CODES) return false;
  return frames.every((frame) => frame.every((code) => code < entropy.codebookSize));
}

function rangeCode(frames, entropy) {
  const encoder = new RangeEncoder();
  const context = entropy.start();
  for (const frame of frames) {
    context.begin();
    for (const code of frame) {
      const shares = context.frequencies();
      encoder.encode(start(shares, code), shares[code]);
      context.push(code);
    }
    context.end();
  }
  return encoder.finish();
}

function start(shares, code) {
  let sum = 0;
  for (let i = 0; i < code; i++) sum += shares[i];
  return sum;
}

/** Frames of a payload. */
export function decodePayload({coding, payload, levels, frameCount, bits}, entropy) {
  if (coding === PACKED) return unpack(payload, new Array(frameCount).fill(levels), bits);
  if (coding === ENTROPY) {
    if (!entropy) throw new BitstreamError("entropy-coded: only the model that wrote it decodes it");
    const codes = levels * frameCount;
    if (levels > entropy.numCodebooks || codes < 1 || codes > MAX_ENTROPY_CODES) {
      throw new BitstreamError("an entropy-coded payload is damaged");
    }
  }
  const {counts, size} = unpackCounts(payload, frameCount, levels);
  const rest = payload.subarray(size);
  return coding === RAGGED ? unpack(rest, counts, bits) : rangeDecode(rest, counts, entropy);
}

function rangeDecode(data, counts, entropy) {
  const decoder = new RangeDecoder(data);
  const again = new RangeEncoder();
  const context = entropy.start();
  const frames = Array.from(counts, (count) => {
    const frame = new Uint16Array(count);
    context.begin();
    for (let k = 0; k < count; k++) {
      const shares = context.frequencies();
      const target = decoder.target();
      let code = 0;
      let before = 0;
      while (code < shares.length && target >= before + shares[code]) before += shares[code++];
      if (code === shares.length) throw new BitstreamError("an entropy-coded payload is damaged");
      decoder.take(before, shares[code]);
      again.encode(before, shares[code]);
      frame[k] = code;
      context.push(code);
    }
    context.end();
    return frame;
  });
  const canonical = again.finish();
  if (canonical.length !== data.length || canonical.some((byte, i) => byte !== data[i])) {
    throw new BitstreamError("an entropy-coded payload is damaged");
  }
  return frames;
}
