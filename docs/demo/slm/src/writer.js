import {writeChunk} from "./chunk.js";
import {concat} from "./bytes.js";
import {crc32} from "./checks.js";
import {encodePayload} from "./coders.js";
import {checkHeader, writeHeader} from "./header.js";

/** Frames per chunk for a file: at least a second and 1,000 bytes of codes, at most 20 seconds. */
export function defaultChunkFrames(bitsPerFrame, frameRate) {
  const most = Math.max(1, Math.floor(20 * frameRate));
  const frames = Math.min(most, Math.max(Math.ceil(frameRate), Math.ceil(8000 / bitsPerFrame)));
  const step = 8 / gcd(8, bitsPerFrame);
  return Math.ceil(frames / step) * step;
}

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}

/** Writes a stream strictly forwards. `sink` takes each piece (the header, then chunks) when it is full. */
export class Writer {
  #pieces = [];
  #waiting = [];
  #levels;
  #entropy;
  #head;
  #chunks = 0;
  #frames = 0; // of the part

  constructor(header, {entropy = null, sink = null} = {}) {
    if (entropy && header.entropyModel !== entropy.hash) {
      throw new RangeError(`the header names the entropy model ${header.entropyModel}, not ${entropy.hash}`);
    }
    checkHeader(header);
    this.header = header;
    this.size = 0;
    this.#entropy = entropy;
    this.#levels = header.numCodebooks;
    this.sink = sink ?? ((piece) => this.#pieces.push(piece));
    const start = writeHeader(header);
    this.#head = crc32(start);
    this.#send(start);
  }

  /**
   * Append frames, each an array of at most `levels` codes. A chunk ends where `levels`, of 1 to
   * the header's, changes.
   */
  write(frames, levels = this.header.numCodebooks) {
    const {numCodebooks, bitsPerCode, chunkFrames} = this.header;
    if (!(levels >= 1 && levels <= numCodebooks)) throw new RangeError(`levels ${levels} are not 1 to ${numCodebooks}`);
    for (const frame of frames) {
      const fits = frame.every((code) => Number.isInteger(code) && code >= 0 && code < 2 ** bitsPerCode);
      if (frame.length > levels || !fits) throw new RangeError("a frame does not fit the header");
    }
    if (levels !== this.#levels && this.#waiting.length) this.#chunk(this.#waiting.splice(0));
    this.#levels = levels;
    this.#frames += frames.length;
    for (const frame of frames) {
      this.#waiting.push(Uint16Array.from(frame));
      if (this.#waiting.length === chunkFrames) this.#chunk(this.#waiting.splice(0));
    }
  }

  /** End a part of exactly so many `samples`; unless it is the `last`, another may follow. */
  finish(samples, last = true) {
    const trim = this.#frames * this.header.hopLength - samples;
    if (!(samples >= 0 && trim >= 0)) throw new RangeError(`${this.#frames} frames do not make ${samples} samples`);
    this.#chunk(this.#waiting.splice(0), trim, last);
    this.#frames = 0;
  }

  /** All that was written, unless it went to a sink. */
  bytes() {
    return concat(this.#pieces);
  }

  #chunk(frames, trim = null, last = false) {
    const fullest = frames.reduce((most, frame) => Math.max(most, frame.length), 1);
    const ragged = frames.some((frame) => frame.length !== this.#levels);
    const levels = ragged ? fullest : this.#levels;
    const shape = {levels, frameCount: frames.length, trim, last};
    const coded = encodePayload(frames, levels, this.header.bitsPerCode, ragged, this.#entropy);
    this.#send(writeChunk({...shape, ...coded}, this.header, this.#head, this.#chunks++));
  }

  #send(piece) {
    this.size += piece.length;
    this.sink(piece);
  }
}
