import {RealFFT} from "./fft.js";

/** Streaming features of the encoder: spectra of two hops, their magnitudes compressed. */
export class Features {
  constructor(window, hop, compress) {
    this.window = window;
    this.hop = hop;
    this.exponent = (compress - 1) / 2;
    this.fft = new RealFFT(2 * hop);
    this.rows = 2 * (hop + 1);
    this.past = new Float64Array(hop); // the hop before the next
  }

  /** Features (frames of Float64Array) of whole hops `wave`. */
  push(wave) {
    const {hop, window, fft, exponent} = this;
    const frames = [];
    const windowed = new Float64Array(2 * hop);
    for (let start = 0; start + hop <= wave.length; start += hop) {
      for (let i = 0; i < hop; i++) {
        windowed[i] = this.past[i] * window[i];
        this.past[i] = wave[start + i];
        windowed[hop + i] = this.past[i] * window[hop + i];
      }
      const {re, im} = fft.transform(windowed);
      const frame = new Float64Array(this.rows);
      for (let bin = 0; bin <= hop; bin++) {
        const power = Math.max(re[bin] ** 2 + im[bin] ** 2, 1e-10);
        const factor = Math.exp(Math.log(power) * exponent);
        frame[bin] = re[bin] * factor;
        frame[hop + 1 + bin] = im[bin] * factor;
      }
      frames.push(frame);
    }
    return frames;
  }
}
