/** Fourier transforms of real frames, in double precision, of any size of small prime factors. */
export class RealFFT {
  constructor(size) {
    this.size = size;
    this.bins = size / 2 + 1;
    this.cos = Float64Array.from({length: size}, (_, i) => Math.cos((2 * Math.PI * i) / size));
    this.sin = Float64Array.from({length: size}, (_, i) => -Math.sin((2 * Math.PI * i) / size));
    this.re = new Float64Array(size);
    this.im = new Float64Array(size);
  }

  /** Real and imaginary parts of bins 0 to size / 2 of `frame`: the arrays are reused. */
  transform(frame) {
    this.#split(frame, 0, 1, this.size, 0);
    return {re: this.re, im: this.im};
  }

  /** The transform of every `stride`-th sample from `from` on, `count` of them, into place `to`. */
  #split(frame, from, stride, count, to) {
    if (count === 1) {
      this.re[to] = frame[from];
      this.im[to] = 0;
      return;
    }
    const radix = count % 2 ? smallestFactor(count) : 2;
    const part = count / radix;
    for (let r = 0; r < radix; r++) this.#split(frame, from + r * stride, stride * radix, part, to + r * part);
    if (radix === 2) this.#pairs(part, to);
    else this.#join(radix, part, to);
  }

  #pairs(part, to) {
    const {re, im, cos, sin, size} = this;
    const turn = size / (2 * part);
    for (let k = 0; k < part; k++) {
      const [one, two] = [to + k, to + k + part];
      const x = re[two] * cos[turn * k] - im[two] * sin[turn * k];
      const y = re[two] * sin[turn * k] + im[two] * cos[turn * k];
      re[two] = re[one] - x;
      im[two] = im[one] - y;
      re[one] += x;
      im[one] += y;
    }
  }

  #join(radix, part, to) {
    const {re, im, cos, sin, size} = this;
    const turn = size / (radix * part);
    const [a, b] = [new Float64Array(radix), new Float64Array(radix)];
    for (let k = 0; k < part; k++) {
      for (let r = 0; r < radix; r++) {
        const place = to + k + r * part;
        const angle = (turn * k * r) % size;
        a[r] = re[place] * cos[angle] - im[place] * sin[angle];
        b[r] = re[place] * sin[angle] + im[place] * cos[angle];
      }
      for (let q = 0; q < radix; q++) {
        let x = 0;
        let y = 0;
        for (let r = 0; r < radix; r++) {
          const angle = (turn * part * q * r) % size;
          x += a[r] * cos[angle] - b[r] * sin[angle];
          y += a[r] * sin[angle] + b[r] * cos[angle];
        }
        re[to + k + q * part] = x;
        im[to + k + q * part] = y;
      }
    }
  }
}

function smallestFactor(count) {
  for (let factor = 3; factor * factor <= count; factor += 2) if (count % factor === 0) return factor;
  return count;
}
