/** Codes of each frame, 0 to `most`, in an adaptive binary range coder (coding 1, "ragged"). */
import {BitstreamError} from "./errors.js";

const FULL = 2 ** 32;
const LEAST = 2 ** 24;
const LIMIT = 255;

class Context {
  no = 0;
  yes = 0;

  get probabilityOfNo() {
    return Math.floor((4096 * (2 * this.no + 1)) / (2 * (this.no + this.yes) + 2));
  }

  learn(decision) {
    if (decision) this.yes++;
    else this.no++;
    if (this.no + this.yes === LIMIT) {
      this.no >>= 1;
      this.yes >>= 1;
    }
  }
}

class Encoder {
  low = 0;
  range = FULL;
  bytes = [];

  code(context, decision) {
    const bound = Math.floor(this.range / 4096) * context.probabilityOfNo;
    if (decision) {
      this.add(bound);
      this.range -= bound;
    } else {
      this.range = bound;
    }
    while (this.range < LEAST) {
      this.bytes.push(Math.floor(this.low / LEAST));
      this.low = (this.low % LEAST) * 256;
      this.range *= 256;
    }
    context.learn(decision);
    return decision;
  }

  /** The fewest bytes after which any continuation lies within the range. */
  finish() {
    for (let size = 0; ; size++) {
      const step = FULL / 256 ** size;
      const up = (step - (this.low % step)) % step;
      if (up + step <= this.range) {
        this.add(up);
        for (let i = 0; i < size; i++) this.bytes.push(Math.floor(this.low / 2 ** (24 - 8 * i)) % 256);
        return Uint8Array.from(this.bytes);
      }
    }
  }

  add(value) {
    this.low += value;
    if (this.low < FULL) return;
    this.low -= FULL;
    let place = this.bytes.length - 1;
    while (this.bytes[place] === 255) this.bytes[place--] = 0;
    this.bytes[place]++;
  }
}

class Decoder {
  range = FULL;
  above = 0;
  place = 0;

  constructor(data) {
    this.data = data;
    for (let i = 0; i < 4; i++) this.shift();
  }

  code(context) {
    const bound = Math.floor(this.range / 4096) * context.probabilityOfNo;
    const decision = this.above >= bound;
    if (decision) {
      this.above -= bound;
      this.range -= bound;
    } else {
      this.range = bound;
    }
    while (this.range < LEAST) {
      this.shift();
      this.range *= 256;
    }
    context.learn(decision);
    return decision;
  }

  shift() {
    this.above = this.above * 256 + (this.data[this.place++] ?? 0);
  }
}

/** From each count to the next by yes-or-no decisions; a decoder ignores the decision it is given. */
class Walk {
  up = false;
  stayed = 2;
  contexts = Array.from({length: 11}, () => new Context());

  constructor(most) {
    this.most = this.count = most;
  }

  step(coder, count) {
    const before = this.count;
    const same = coder.code(this.contexts[this.stayed], count === before);
    this.stayed = same ? Math.min(2, this.stayed + 1) : 0;
    if (same) return before;
    if (before === 0) this.up = true;
    else if (before === this.most) this.up = false;
    else this.up = coder.code(this.contexts[3 + this.up], count > before);
    const room = this.up ? this.most - before : before;
    let move = 1;
    while (move < room) {
      const context = this.contexts[5 + 3 * this.up + Math.min(move - 1, 2)];
      if (!coder.code(context, Math.abs(count - before) > move)) break;
      move++;
    }
    this.count += this.up ? move : -move;
    return this.count;
  }
}

export function packCounts(counts, most) {
  const coder = new Encoder();
  const walk = new Walk(most);
  for (const count of counts) walk.step(coder, count);
  return coder.finish();
}

/** Counts of `frames` frames at the start of `data`, and the bytes that they take. */
export function unpackCounts(data, frames, most) {
  const coder = new Decoder(data);
  const walk = new Walk(most);
  const counts = Uint8Array.from({length: frames}, () => walk.step(coder, -1));
  const packed = packCounts(counts, most);
  if (packed.some((byte, i) => byte !== data[i])) throw new BitstreamError("a payload is damaged");
  return {counts, size: packed.length};
}
