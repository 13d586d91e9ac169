/** The range coder of coding 2: 32-bit words, a 64-bit state, frequencies that add up to 2^24. */
const WORD = 32n;
const MASK = (1n << 64n) - 1n;
const RENEW = 1n << WORD;
const PRECISION = 24n;

export class RangeEncoder {
  #lower = 0n;
  #span = MASK;
  #words = [];

  /** A symbol whose frequency is `share`, after symbols whose frequencies add up to `start`. */
  encode(start, share) {
    const part = this.#span >> PRECISION;
    this.#lower += part * BigInt(start);
    if (this.#lower > MASK) this.#carry();
    this.#span = part * BigInt(share);
    if (this.#span < RENEW) {
      this.#words.push(Number(this.#lower >> WORD));
      this.#lower = (this.#lower << WORD) & MASK;
      this.#span <<= WORD;
    }
  }

  /** The fewest bytes that decode to what was encoded if zeros follow. */
  finish() {
    let unit = MASK + 1n;
    let end = 0n;
    for (; ; unit >>= 8n) {
      end = ((this.#lower + unit - 1n) / unit) * unit;
      if (end < this.#lower + this.#span) break;
    }
    this.#lower = end;
    if (end > MASK) this.#carry();
    const words = [...this.#words, Number(this.#lower >> WORD), Number(this.#lower & (RENEW - 1n))];
    const bytes = words.flatMap((word) => [24, 16, 8, 0].map((shift) => (word >>> shift) & 0xff));
    let size = bytes.length;
    while (size && !bytes[size - 1]) size--;
    return Uint8Array.from(bytes.slice(0, size));
  }

  #carry() {
    this.#lower &= MASK;
    let place = this.#words.length - 1;
    while (this.#words[place] === 0xffffffff) this.#words[place--] = 0;
    this.#words[place]++;
  }
}

export class RangeDecoder {
  #lower = 0n;
  #span = MASK;
  #point;
  #place = 0;
  #part = 1n;

  constructor(data) {
    this.data = data;
    this.#point = (this.#word() << WORD) | this.#word();
  }

  /** The frequency that the next symbol's interval holds. */
  target() {
    this.#part = this.#span >> PRECISION;
    return Number(((this.#point - this.#lower) & MASK) / this.#part);
  }

  /** Take the symbol whose interval that is. */
  take(start, share) {
    this.#lower = (this.#lower + this.#part * BigInt(start)) & MASK;
    this.#span = this.#part * BigInt(share);
    if (this.#span < RENEW) {
      this.#lower = (this.#lower << WORD) & MASK;
      this.#span <<= WORD;
      this.#point = ((this.#point << WORD) & MASK) | this.#word();
    }
  }

  #word() {
    let word = 0;
    for (let i = 0; i < 4; i++) word = word * 256 + (this.data[this.#place++] ?? 0);
    return BigInt(word);
  }
}
