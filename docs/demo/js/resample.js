const ZEROS = 16; // zero crossings of the kernel on each side
const STEPS = 256; // entries of its table between two of them

/** sinc under a Hann window, (ZEROS * STEPS + 2) values from its middle outwards. */
const KERNEL = Float64Array.from({length: ZEROS * STEPS + 2}, (_, i) => {
  const x = (Math.PI * i) / STEPS;
  return i > ZEROS * STEPS ? 0 : (i ? Math.sin(x) / x : 1) * (0.5 + 0.5 * Math.cos(x / ZEROS));
});

/** Converts a stream from one sample rate to another: samples in, those that are ready out. */
export class Resampler {
  constructor(from, to) {
    this.ratio = from / to;
    this.cutoff = Math.min(1, to / from) * 0.95;
    this.reach = Math.ceil(ZEROS / this.cutoff);
    this.held = new Float32Array(this.reach); // silence before the first sample
    this.place = this.reach; // of the next output among them
  }

  push(samples) {
    const held = new Float32Array(this.held.length + samples.length);
    held.set(this.held);
    held.set(samples, this.held.length);
    const out = [];
    for (; this.place + this.reach < held.length; this.place += this.ratio) {
      const first = Math.ceil(this.place - this.reach);
      let sum = 0;
      for (let i = Math.max(0, first); i <= this.place + this.reach; i++) {
        const at = Math.min(Math.abs(i - this.place) * this.cutoff, ZEROS) * STEPS;
        const entry = Math.floor(at);
        sum += held[i] * (KERNEL[entry] + (at - entry) * (KERNEL[entry + 1] - KERNEL[entry]));
      }
      out.push(sum * this.cutoff);
    }
    const done = Math.max(0, Math.floor(this.place) - this.reach);
    this.held = held.slice(done);
    this.place -= done;
    return Float32Array.from(out);
  }
}
