import {Source} from "./bytes.js";
import {crc32} from "./checks.js";
import {numberMark, readChunk, readRecord, readShape} from "./chunk.js";
import {ENTROPY, decodePayload} from "./coders.js";
import {packedSize} from "./bitpacking.js";
import {BitstreamError} from "./errors.js";
import {readHeader} from "./header.js";

const SHARED = ["model", "weightsHash", "entropyModel", "sampleRate", "hopLength", "bitsPerCode"];
const GAP = 256; // chunks in a row that may be missing
// What looking for the next good chunk may cost, in bytes checked in vain.
const TRIAL = 2 ** 12;
const SEARCH = 2 ** 26;
const SEARCH_PER_BYTE = 2 ** 9;
// How much sound a stream may claim: frames without codes take next to nothing.
const SECONDS = 600;
const SECONDS_PER_BYTE = 4;

/** Frames that may follow `frames` ones, after `received` bytes. */
export function framesLeft(frames, received, header) {
  const rate = header.sampleRate / header.hopLength;
  return Math.max(0, Math.floor((SECONDS + SECONDS_PER_BYTE * received) * rate) - frames);
}

/** A chunk as it is handed out: its codes are decoded when they are asked for. */
export function handOut(chunk, entropy) {
  const {number, start, levels, frameCount, trim, coding, size} = chunk;
  let frames;
  return {
    lost: false, number, start, levels, frameCount, trim, coding, size,
    get frames() {
      return (frames ??= decodePayload(chunk, entropy));
    },
  };
}

/** Reads a stream: iterate over its chunks, once. */
export class Reader {
  #source;
  #header; // of the part that is read
  #head;
  #number = 0;
  #searched = 0;
  #conceal;
  #entropy;

  constructor(bytes, {entropy = null, conceal = false} = {}) {
    this.#source = new Source(bytes);
    this.#conceal = conceal;
    this.#begin(readHeader(this.#source), 0);
    this.header = this.#header;
    this.headerBytes = this.#source.position;
    this.#entropy = entropy?.hash === this.header.entropyModel ? entropy : null;
    this.frameCount = 0;
    /** Samples of each part that has ended. */
    this.parts = [];
    /** Bytes after the end that belong to no stream. */
    this.trailing = 0;
  }

  #begin(header, start) {
    this.#header = header;
    this.#head = crc32(this.#source.data.subarray(start, this.#source.position));
    this.#number = 0;
  }

  *[Symbol.iterator]() {
    const {hopLength} = this.header;
    let frames = 0; // of the part
    for (;;) {
      let chunk;
      const place = this.#source.position;
      try {
        chunk = readChunk(this.#source, this.#header, this.#head, this.#number);
      } catch (error) {
        if (!(error instanceof BitstreamError)) throw error;
        if (!this.#conceal) {
          error.message = `chunk ${this.#number}: ${error.message}`;
          throw error;
        }
        const expected = this.#number;
        const stated = this.#stated(place);
        chunk = this.#search(place);
        if (chunk?.header) {
          // Another stream begins: what is lost before it is the end of the part.
          frames += yield* this.#gap(this.#lostAtEnd(place, chunk.at, stated));
          this.parts.push(frames * hopLength);
          frames = 0;
          this.#begin(chunk.header, chunk.at);
          continue;
        }
        const lost = chunk
          ? this.#lostBefore(place, chunk, expected, stated)
          : this.#lostAtEnd(place, this.#source.data.length, stated);
        frames += yield* this.#gap(lost);
        if (!chunk) {
          this.parts.push(frames * hopLength);
          return;
        }
      }
      this.#check(chunk);
      frames += chunk.frameCount;
      const start = this.frameCount;
      this.frameCount += chunk.frameCount;
      const number = this.#number++;
      if (chunk.frameCount || chunk.trim !== null) yield handOut({...chunk, number, start}, this.#entropy);
      if (chunk.trim !== null) {
        this.parts.push(Math.max(0, frames * hopLength - chunk.trim));
        frames = 0;
      }
      if (chunk.last && !this.#joined()) return;
    }
  }

  #check(chunk) {
    if (chunk.coding > ENTROPY) {
      throw new BitstreamError(`chunk ${this.#number} is in coding ${chunk.coding}, which this reader does not know`);
    }
    if (chunk.frameCount > framesLeft(this.frameCount, this.#source.position, this.header)) {
      throw new BitstreamError("the stream claims more sound than its bytes can hold");
    }
  }

  *#gap(lost) {
    const total = Math.min(lost, framesLeft(this.frameCount, this.#source.position, this.header));
    for (let left = total; left > 0; left -= this.#header.chunkFrames) {
      const frameCount = Math.min(left, this.#header.chunkFrames);
      yield {lost: true, start: this.frameCount, frameCount};
      this.frameCount += frameCount;
    }
    return total;
  }

  /** The shape that a damaged chunk states, and where it would end; null if it is none. */
  #stated(place) {
    const source = new Source(this.#source.data, place);
    try {
      const shape = readShape(source, this.#header);
      return {frameCount: shape.frameCount, end: source.position + shape.size + 4};
    } catch {
      return null;
    }
  }

  /** The next good chunk after the one at `place`, or {header, at}; null if there is neither. */
  #search(place) {
    const {data} = this.#source;
    const marks = new Map(Array.from({length: GAP}, (_, ahead) => [numberMark(this.#number + ahead), ahead]));
    for (let at = place; at < data.length; at++) {
      if (this.#searched > SEARCH + SEARCH_PER_BYTE * at) break;
      this.#searched += TRIAL / 32;
      this.#source.position = at;
      try {
        if (data[at] === 0x53) {
          const header = this.#headerAt(at);
          if (header) return {header, at};
        }
        if ((data[at] & 15) > ENTROPY) continue;
        const shape = readShape(new Source(data, at), this.#header);
        this.#searched += TRIAL + shape.size;
        const chunk = readRecord(this.#source, this.#header, this.#head);
        const ahead = marks.get(chunk.mark);
        if (ahead !== undefined) {
          this.#number += ahead;
          return {...chunk, at};
        }
      } catch (error) {
        if (!(error instanceof BitstreamError)) throw error;
      }
    }
    this.#source.position = data.length;
    return null;
  }

  #lostBefore(place, chunk, expected, stated) {
    const {chunkFrames} = this.#header;
    const frames = (this.#number - expected) * chunkFrames;
    const full = place + this.#fullSize();
    return stated?.end === chunk.at && chunk.at !== full ? frames + stated.frameCount - chunkFrames : frames;
  }

  #lostAtEnd(place, end, stated) {
    if (stated && stated.end >= end) return stated.frameCount;
    const {numCodebooks, bitsPerCode, chunkFrames} = this.#header;
    const chunks = Math.floor((end - place) / this.#fullSize());
    const rest = (end - place) % this.#fullSize();
    return chunks * chunkFrames + Math.min(chunkFrames, Math.floor((rest * 8) / (numCodebooks * bitsPerCode)));
  }

  #fullSize() {
    const {numCodebooks, bitsPerCode, chunkFrames} = this.#header;
    return 5 + packedSize(numCodebooks * chunkFrames, bitsPerCode);
  }

  /** The header of a stream by the same model at `at`, taken; null otherwise. */
  #headerAt(at) {
    this.#source.position = at;
    try {
      const header = readHeader(this.#source);
      if (SHARED.every((name) => header[name] === this.header[name])) return header;
    } catch (error) {
      if (!(error instanceof BitstreamError)) throw error;
    }
    this.#source.position = at;
    return null;
  }

  /** Whether another stream follows, as `cat` joins files. */
  #joined() {
    const at = this.#source.position;
    const {data} = this.#source;
    if (at === data.length) return false;
    let header;
    try {
      header = readHeader(this.#source);
    } catch (error) {
      if (!(error instanceof BitstreamError)) throw error;
      this.#source.position = at;
      this.trailing = data.length - at;
      return false;
    }
    const other = SHARED.find((name) => header[name] !== this.header[name]);
    if (other) {
      throw new BitstreamError(`another recording follows, whose ${other} is ${header[other]}, not ${this.header[other]}`);
    }
    this.#begin(header, at);
    return true;
  }
}
