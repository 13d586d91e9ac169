/**
 * The codec: waveform to codes and back. Runs the graphs of `speechlm export web` by onnxruntime-web
 * (or anything with its interface: `ort` has InferenceSession and Tensor).
 */
import {EntropyModel, readSafetensors} from "../slm/src/index.js";

import {ExactEncoder} from "./exact.js";
import {Features} from "./features.js";

const BLOCK = 50; // frames a call, offline
const CONCEALMENT_DECAY = 0.9;
const EXPECTATION_WEIGHT = 0.3;
const MAX_CONCEALED_FRAMES = 64;

export class Codec {
  /** `files`: bytes (Uint8Array) of encoder, decoder, weights and (or null) entropy. */
  static async load(ort, files, options = {}) {
    const {tensors, metadata} = readSafetensors(files.weights);
    const codec = new Codec();
    codec.ort = ort;
    codec.model = metadata.model;
    codec.weightsHash = metadata.weights_hash;
    codec.sampleRate = Number(metadata.sample_rate);
    codec.hop = Number(metadata.hop_length);
    codec.delay = Number(metadata.decoder_delay);
    codec.numCodebooks = Number(metadata.num_codebooks);
    codec.codebookSize = Number(metadata.codebook_size);
    codec.compress = Number(metadata.compress);
    codec.bitsPerCode = Math.ceil(Math.log2(codec.codebookSize));
    codec.frameRate = codec.sampleRate / codec.hop;
    codec.window = tensors.window.data;
    codec.exact = new ExactEncoder(tensors, Number(metadata.blocks));
    codec.entropy = files.entropy ? EntropyModel.load(files.entropy) : null;
    codec.silence = codec.latents(Uint16Array.from(tensors.silence.data));
    codec.encoderGraph = await ort.InferenceSession.create(files.encoder, options);
    codec.decoderGraph = await ort.InferenceSession.create(files.decoder, options);
    return codec;
  }

  /** Frames that cover so many samples and the decoder's delay. */
  frames(samples) {
    return samples ? Math.ceil((samples + this.delay) / this.hop) : 0;
  }

  /** The sum of the codebook entries of a frame; of one without codes, what silence has. */
  latents(codes) {
    if (!codes.length) return this.silence;
    const {dim, codebookSize, codebooks} = this.exact;
    const sum = new Float32Array(dim);
    codes.forEach((code, k) => {
      const place = (k * codebookSize + code) * dim;
      for (let i = 0; i < dim; i++) sum[i] += codebooks[place + i];
    });
    return sum;
  }

  /** The header of a stream of this codec. */
  header(numCodebooks, chunkFrames) {
    const {model, weightsHash, sampleRate, hop, bitsPerCode, entropy} = this;
    return {
      model, weightsHash, sampleRate, hopLength: hop, bitsPerCode, numCodebooks, chunkFrames,
      entropyModel: entropy?.hash ?? null,
    };
  }

  /** Frames of codes (all codebooks) of a whole waveform; `progress` is told the share that is done. */
  async encode(wave, progress = () => {}) {
    const padded = new Float32Array(this.frames(wave.length) * this.hop);
    padded.set(wave);
    const stream = this.streamEncoder();
    const frames = [];
    for (let start = 0; start < padded.length; start += BLOCK * this.hop) {
      frames.push(...(await stream.push(padded.subarray(start, start + BLOCK * this.hop))));
      progress(start / padded.length);
    }
    return {frames, recomputed: stream.recomputed};
  }

  /**
   * The waveform of frames, of so many samples. `lost` says which frames to conceal (and there is
   * none: null).
   */
  async decode(frames, samples, lost = null, progress = () => {}) {
    const stream = this.streamDecoder();
    const wave = new Float32Array(frames.length * this.hop);
    for (let start = 0; start < frames.length; start += BLOCK) {
      const block = frames.slice(start, start + BLOCK).map((frame, i) => (lost?.[start + i] ? null : frame));
      wave.set(await stream.push(block), start * this.hop);
      progress(start / frames.length);
    }
    return wave.slice(this.delay, this.delay + samples);
  }

  streamEncoder() {
    return new StreamEncoder(this);
  }

  streamDecoder() {
    return new StreamDecoder(this);
  }
}

/** Runs a graph call after call, with its state. */
class GraphStream {
  constructor(ort, graph) {
    this.ort = ort;
    this.graph = graph;
    this.input = graph.inputNames[0];
    this.state = Object.fromEntries(
      graph.inputMetadata.slice(1).map(({name, shape}) => {
        const size = shape.reduce((product, length) => product * length, 1);
        return [name, new ort.Tensor("float32", new Float32Array(size), shape)];
      }),
    );
  }

  /** Outputs of `columns`, frames of equal length. */
  async push(columns) {
    const [rows, count] = [columns[0].length, columns.length];
    const data = new Float32Array(rows * count);
    columns.forEach((column, t) => {
      for (let i = 0; i < rows; i++) data[i * count + t] = column[i];
    });
    const input = new this.ort.Tensor("float32", data, [1, rows, count]);
    const outputs = await this.graph.run({[this.input]: input, ...this.state});
    for (const name of Object.keys(this.state)) this.state[name] = outputs[name.replace("state", "next")];
    return outputs;
  }
}

class StreamEncoder {
  /** Frames that were encoded again in double precision. */
  recomputed = 0;

  constructor(codec) {
    this.codec = codec;
    this.features = new Features(codec.window, codec.hop, codec.compress);
    this.graph = new GraphStream(codec.ort, codec.encoderGraph);
    this.recent = []; // features, as far back as a frame depends on
    this.rest = new Float32Array(0);
  }

  /** Frames of codes (Uint16Array, all codebooks) of the next samples, of any number. */
  async push(wave) {
    const {hop, exact, numCodebooks} = this.codec;
    const whole = new Float32Array(this.rest.length + wave.length);
    whole.set(this.rest);
    whole.set(wave, this.rest.length);
    const count = Math.floor(whole.length / hop);
    this.rest = whole.slice(count * hop);
    if (!count) return [];
    const columns = this.features.push(whole.subarray(0, count * hop));
    const {codes, margins} = await this.graph.push(columns);
    const known = this.recent.length;
    this.recent.push(...columns);
    const frames = columns.map((_, t) => {
      const at = (k) => k * count + t;
      const near = Array.from({length: numCodebooks}, (_, k) => margins.data[at(k)]).some((margin) => !(margin > 0));
      if (!near) return Uint16Array.from({length: numCodebooks}, (_, k) => Number(codes.data[at(k)]));
      this.recomputed++;
      const end = known + t + 1;
      return exact.search(exact.latents(this.recent.slice(Math.max(0, end - exact.reach), end)));
    });
    this.recent.splice(0, Math.max(0, this.recent.length - exact.reach));
    return frames;
  }
}

class StreamDecoder {
  constructor(codec) {
    this.codec = codec;
    this.graph = new GraphStream(codec.ort, codec.decoderGraph);
    this.recent = []; // codes, as far back as the entropy model looks
    this.held = codec.silence;
    this.lost = 0;
  }

  /**
   * Samples of frames (null: lost, to be concealed). They lag by the codec's delay, which is not
   * taken off.
   */
  async push(frames) {
    const columns = frames.map((frame) => (frame ? this.#received(frame) : this.#concealed()));
    const {wave} = await this.graph.push(columns);
    return wave.data;
  }

  #received(frame) {
    this.#remember(frame);
    this.lost = 0;
    this.held = this.codec.latents(frame);
    return this.held;
  }

  /** The last received latents, towards what the entropy model expects, decaying to silence. */
  #concealed() {
    const {silence} = this.codec;
    if (this.lost >= MAX_CONCEALED_FRAMES || !this.recent.length) return silence;
    this.lost++;
    const share = CONCEALMENT_DECAY ** this.lost;
    const guess = this.#guess();
    return silence.map((quiet, i) => quiet + share * (guess[i] - quiet));
  }

  #guess() {
    const {entropy, exact} = this.codec;
    if (!entropy) return this.held;
    const context = entropy.start();
    for (const frame of this.recent) {
      context.begin();
      for (const code of frame) context.push(code);
      context.end();
    }
    context.begin();
    const shares = context.frequencies();
    const expected = new Float64Array(exact.dim);
    let likely = 0;
    for (let code = 0; code < shares.length; code++) {
      if (shares[code] > shares[likely]) likely = code;
      const share = shares[code] / 2 ** 24;
      for (let i = 0; i < exact.dim; i++) expected[i] += share * exact.codebooks[code * exact.dim + i];
    }
    this.#remember(Uint16Array.of(likely));
    return this.held.map((value, i) => value + EXPECTATION_WEIGHT * (expected[i] - value));
  }

  #remember(frame) {
    this.recent.push(frame);
    const reach = this.codec.entropy?.reach ?? 1;
    if (this.recent.length > reach) this.recent.splice(0, this.recent.length - reach);
  }
}
