import {microphone} from "./recorder.js";

const WINDOW = 50; // pieces that the figures are averaged over
const MOST_WAITING = 30; // pieces that the worker has not yet taken

/** The microphone through the codec and back to the ear. */
export class Live {
  #context = null;
  #stream = null;
  #settings;
  #report;
  #worker;

  /** `settings` gives what the worker's task takes besides samples; `report` takes figures. */
  constructor(worker, settings, report) {
    this.#worker = worker;
    this.#settings = settings;
    this.#report = report;
  }

  get running() {
    return this.#context !== null;
  }

  async start(codec) {
    this.#stream = await microphone();
    const context = new AudioContext({latencyHint: "interactive"});
    this.#context = context;
    await context.audioWorklet.addModule(new URL("live-worklet.js", import.meta.url));
    await this.#worker.liveStart({sampleRate: context.sampleRate});
    const source = context.createMediaStreamSource(this.#stream);
    const node = new AudioWorkletNode(context, "loopback", {outputChannelCount: [1]});
    source.connect(node).connect(context.destination);
    const overlap = codec.delay / codec.sampleRate;
    const frame = codec.hop / codec.sampleRate;
    const recent = [];
    const total = {frames: 0, lost: 0};
    let waiting = 0;
    node.port.onmessage = async ({data: {samples, latency}}) => {
      if (waiting > MOST_WAITING) {
        node.port.postMessage({skipped: samples.length}); // too slow a device: what is late helps nobody
        return;
      }
      waiting++;
      const made = await this.#worker.live({samples, ...this.#settings()});
      waiting--;
      if (this.#context !== context) return;
      if (made.wave.length) node.port.postMessage({wave: made.wave});
      recent.push({...made, duration: samples.length / context.sampleRate});
      if (recent.length > WINDOW) recent.shift();
      total.frames += made.frames;
      total.lost += made.lost;
      const sum = (name) => recent.reduce((all, piece) => all + piece[name], 0);
      const device = (context.baseLatency ?? 0) + (context.outputLatency ?? 0);
      this.#report({
        ...total,
        // What plays was recorded one overlap before the sample of the same number.
        latency: latency === undefined ? null : 1000 * (latency / context.sampleRate + overlap + device),
        codec: 1000 * (frame + overlap),
        device: 1000 * device,
        wire: (8 * sum("bytesSent")) / sum("duration") / 1000,
        load: sum("seconds") / sum("duration"),
      });
    };
    await context.resume();
  }

  stop() {
    this.#context.close();
    this.#context = null;
    for (const track of this.#stream.getTracks()) track.stop();
  }
}
