import {BitstreamError, TruncatedError} from "./errors.js";

/** Takes fields from the front of `data` (Uint8Array). */
export class Source {
  constructor(data, position = 0) {
    this.data = data;
    this.position = position;
  }

  take(count) {
    if (this.position + count > this.data.length) throw new TruncatedError();
    this.position += count;
    return this.data.subarray(this.position - count, this.position);
  }

  u8() {
    return this.take(1)[0];
  }

  u32() {
    const [a, b, c, d] = this.take(4);
    return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  }

  /** LEB128 of at most 8 bytes. Values beyond 2^53 are refused: no field may hold one. */
  varint() {
    let value = 0;
    for (let shift = 0; shift < 56; shift += 7) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) break;
        return value;
      }
    }
    throw new BitstreamError("a number is damaged");
  }
}

export function varint(value) {
  const bytes = [];
  for (; value >= 0x80; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return [...bytes, value];
}

export function u32(value) {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}

export function concat(parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
  }
  return whole;
}

export function toHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function fromHex(digits) {
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
