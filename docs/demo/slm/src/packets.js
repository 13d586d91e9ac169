import {Source, concat} from "./bytes.js";
import {crc32} from "./checks.js";
import {readChunk} from "./chunk.js";
import {ENTROPY} from "./coders.js";
import {BitstreamError} from "./errors.js";
import {readHeader} from "./header.js";
import {framesLeft, handOut} from "./reader.js";

const IS_HEADER = 0x8000;
const NUMBERS = 2 ** 16;
const HEADER_EVERY = 50;

/** A sink for a Writer: gives each chunk, in a packet, to `send`, and the header now and then. */
export function packetSink(send) {
  let header = null;
  let number = 0;
  const packet = (body, kind) => {
    if (body.length >= IS_HEADER) throw new RangeError(`a chunk of ${body.length} bytes is too large for a packet`);
    const size = body.length | kind;
    send(concat([[size & 0xff, size >> 8, number & 0xff, (number >> 8) & 0xff], body]));
  };
  return (piece) => {
    if (!header) {
      header = piece;
      return;
    }
    if (number % HEADER_EVERY === 0) packet(header, IS_HEADER);
    packet(piece, 0);
    number++;
  };
}

/** Puts the chunks of packets in order; gives up on one when more than `jitter` later ones are there. */
export class PacketReader {
  #waiting = new Map();
  #next = 0;
  #head = 0;
  #entropy;
  #jitter;
  #received = 0;

  constructor({entropy = null, jitter = 4} = {}) {
    this.#entropy = entropy;
    this.#jitter = jitter;
    this.header = null;
    this.frameCount = 0;
    this.ended = false;
  }

  /** Take a packet; returns the chunks, lost ones too, whose turn it is. */
  push(packet) {
    this.#received += packet.length;
    const source = new Source(packet);
    try {
      const [a, b, c, d] = source.take(4);
      const size = (a | (b << 8)) & ~IS_HEADER;
      if (size !== packet.length - 4) return [];
      if ((b << 8) & IS_HEADER) this.#join(source, packet.subarray(4), c | (d << 8));
      else if (this.header) this.#keep(source, c | (d << 8), packet);
    } catch (error) {
      if (!(error instanceof BitstreamError)) throw error;
    }
    return [...this.#ready(this.#jitter)];
  }

  /** What still waits, when no packet follows. */
  flush() {
    return [...this.#ready(0)];
  }

  #join(source, bytes, number) {
    if (this.header) return;
    this.header = readHeader(source);
    this.#head = crc32(bytes);
    this.#next = number;
    if (this.#entropy?.hash !== this.header.entropyModel) this.#entropy = null;
  }

  #keep(source, short, packet) {
    const half = NUMBERS / 2;
    const number = this.#next + ((((short - this.#next + half) % NUMBERS) + NUMBERS) % NUMBERS) - half;
    if (number < this.#next) return;
    const chunk = readChunk(source, this.header, this.#head, number);
    if (source.position === packet.length && chunk.coding <= ENTROPY) this.#waiting.set(number, chunk);
  }

  *#ready(jitter) {
    while (this.#waiting.size && !this.ended) {
      const chunk = this.#waiting.get(this.#next);
      if (!chunk && this.#waiting.size <= jitter) return;
      const left = framesLeft(this.frameCount, this.#received, this.header);
      const start = this.frameCount;
      if (chunk) {
        if (chunk.frameCount > left) throw new BitstreamError("the stream claims more sound than its bytes can hold");
        this.#waiting.delete(this.#next);
        this.frameCount += chunk.frameCount;
        this.ended = chunk.last;
        if (chunk.frameCount || chunk.trim !== null) yield handOut({...chunk, number: this.#next, start}, this.#entropy);
      } else if (left < this.header.chunkFrames) {
        this.#next = Math.min(...this.#waiting.keys());
        continue;
      } else {
        this.frameCount += this.header.chunkFrames;
        yield {lost: true, start, frameCount: this.header.chunkFrames};
      }
      this.#next++;
    }
  }
}
