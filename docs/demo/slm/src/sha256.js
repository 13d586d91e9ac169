/** SHA-256 (FIPS 180-4). Web Crypto has one, but only asynchronous and on secure pages. */
import {concat} from "./bytes.js";

function primes(count) {
  const found = [];
  for (let n = 2; found.length < count; n++) if (found.every((prime) => n % prime)) found.push(n);
  return found;
}

/** The first 32 bits after the point of the n-th root. */
function fraction(value, n) {
  const root = value ** (1 / n);
  return Math.floor((root - Math.floor(root)) * 2 ** 32) | 0;
}

const START = primes(8).map((prime) => fraction(prime, 2));
const ROUND = primes(64).map((prime) => fraction(prime, 3));

const turn = (word, bits) => (word >>> bits) | (word << (32 - bits));

/** The digest (Uint8Array of 32 bytes) of `bytes`. */
export function sha256(bytes) {
  const padding = new Uint8Array(64 - ((bytes.length + 8) % 64) + 8);
  padding[0] = 0x80;
  const end = new DataView(padding.buffer);
  end.setUint32(padding.length - 8, Math.floor(bytes.length / 2 ** 29));
  end.setUint32(padding.length - 4, (bytes.length * 8) % 2 ** 32);
  const view = new DataView(concat([bytes, padding]).buffer);
  const hash = Int32Array.from(START);
  const w = new Int32Array(64);
  for (let block = 0; block < view.byteLength; block += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(block + 4 * i);
    for (let i = 16; i < 64; i++) {
      const s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUND[i] + w[i]) | 0;
      const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (hash[i] += word));
  }
  const digest = new DataView(new ArrayBuffer(32));
  hash.forEach((word, i) => digest.setInt32(4 * i, word));
  return new Uint8Array(digest.buffer);
}
