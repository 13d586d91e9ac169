import {BitstreamError} from "./errors.js";

/** Bytes that `codes` codes of `bits` bits take. */
export function packedSize(codes, bits) {
  return Math.ceil((codes * bits) / 8);
}

/** Codes of all frames (Uint16Array each), most significant bit first; zero bits fill the last byte. */
export function pack(frames, bits) {
  const count = frames.reduce((sum, frame) => sum + frame.length, 0);
  const bytes = new Uint8Array(packedSize(count, bits));
  let place = 0;
  let waiting = 0;
  let held = 0;
  for (const frame of frames) {
    for (const code of frame) {
      waiting = (waiting << bits) | code;
      held += bits;
      while (held >= 8) {
        held -= 8;
        bytes[place++] = waiting >> held;
        waiting &= (1 << held) - 1;
      }
    }
  }
  if (held) bytes[place] = waiting << (8 - held);
  return bytes;
}

/** The inverse: frames of so many codes as `counts` says. */
export function unpack(bytes, counts, bits) {
  const count = counts.reduce((sum, number) => sum + number, 0);
  if (bytes.length !== packedSize(count, bits)) throw new BitstreamError("a payload has a wrong size");
  let place = 0;
  let waiting = 0;
  let held = 0;
  return Array.from(counts, (number) => {
    const frame = new Uint16Array(number);
    for (let k = 0; k < number; k++) {
      while (held < bits) {
        waiting = (waiting << 8) | bytes[place++];
        held += 8;
      }
      held -= bits;
      frame[k] = waiting >> held;
      waiting &= (1 << held) - 1;
    }
    return frame;
  });
}
