/* global AudioWorkletProcessor, registerProcessor, sampleRate, currentFrame */
const PIECE = Math.round(sampleRate / 100); // samples sent at a time
const STEP = 0.02; // seconds by which the buffer grows after a gap
const [LEAST, MOST] = [0.04 * sampleRate, 0.3 * sampleRate]; // of the buffer
const CALM = 2 * sampleRate; // samples without a gap after which it shrinks

/** Sends the microphone's samples, and plays those that come back, as late as gaps ask for. */
class Loopback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(PIECE);
    this.filled = 0;
    this.begun = null; // context frame of the first sample of the microphone
    this.queue = [];
    this.queued = 0;
    this.played = 0; // samples that came back, up to what plays
    this.target = LEAST + STEP * sampleRate;
    this.calm = 0;
    this.waiting = true;
    this.port.onmessage = ({data: {wave, skipped}}) => {
      if (skipped) {
        this.played += skipped;
        return;
      }
      this.queue.push(wave);
      this.queued += wave.length;
      // Beyond what gaps ask for, samples are only late.
      while (this.queued - this.queue[0].length > this.target + 2 * STEP * sampleRate) this.drop();
    };
  }

  drop() {
    const {length} = this.queue.shift();
    this.queued -= length;
    this.played += length;
  }

  process([[input]], [[output]]) {
    if (input) {
      this.begun ??= currentFrame;
      for (const sample of input) {
        this.piece[this.filled++] = sample;
        if (this.filled === PIECE) {
          this.port.postMessage({samples: this.piece.slice(), latency: this.latency});
          this.filled = 0;
        }
      }
    }
    if (this.waiting && this.queued >= this.target) this.waiting = false;
    if (this.waiting) return true;
    if (this.queued < output.length) {
      this.waiting = true;
      this.calm = 0;
      this.target = Math.min(this.target + STEP * sampleRate, MOST);
      return true;
    }
    this.calm += output.length;
    if (this.calm >= CALM) {
      this.calm = 0;
      this.target = Math.max(LEAST, this.target - STEP * sampleRate);
    }
    /** Frames from when a sample was recorded until it plays, but for the codec's own delay. */
    this.latency = currentFrame - this.begun - this.played;
    for (let i = 0; i < output.length; ) {
      const [first] = this.queue;
      const part = first.subarray(0, output.length - i);
      output.set(part, i);
      i += part.length;
      this.played += part.length;
      this.queued -= part.length;
      if (part.length === first.length) this.queue.shift();
      else this.queue[0] = first.subarray(part.length);
    }
    return true;
  }
}

registerProcessor("loopback", Loopback);
