/** The codec in a worker: `{id, task, ...}` in, `{id, result}` or `{id, error}` out. */
import * as ort from "../ort/ort.wasm.min.mjs";

import {PacketReader, Reader, Writer, defaultChunkFrames, packetSink} from "../slm/src/index.js";
import {frameBits} from "./bitrate.js";
import {Codec} from "./codec.js";
import {generator, lostPackets} from "./loss.js";
import {Resampler} from "./resample.js";

let codec = null;
let sound = null; // the one that is open: {frames, samples}
let live = null;

const tasks = {
  async load(_, progress) {
    const threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = new URL("../ort/", import.meta.url).href;
    const names = ["encoder.onnx", "decoder.onnx", "codec.safetensors", "context.safetensors"];
    let done = 0;
    const [encoder, decoder, weights, entropy] = await Promise.all(
      names.map(async (name) => {
        const response = await fetch(new URL(`../model/${name}`, import.meta.url));
        if (!response.ok) throw new Error(`${name} is missing: build the page with \`make docs\``);
        const bytes = new Uint8Array(await response.arrayBuffer());
        progress(++done / (names.length + 1));
        return bytes;
      }),
    );
    codec = await Codec.load(ort, {encoder, decoder, weights, entropy});
    const {model, weightsHash, sampleRate, hop, delay, numCodebooks, codebookSize, bitsPerCode} = codec;
    return {model, weightsHash, sampleRate, hop, delay, numCodebooks, codebookSize, bitsPerCode, threads};
  },

  async encode({wave}, progress) {
    const start = performance.now();
    const {frames, recomputed} = await codec.encode(wave, progress);
    sound = {frames, samples: wave.length};
    return {frames: frames.length, recomputed, seconds: (performance.now() - start) / 1000};
  },

  /** The file of the open sound at so many codebooks, and what it sounds like. */
  async pack({numCodebooks}, progress) {
    const frames = sound.frames.map((frame) => frame.subarray(0, numCodebooks));
    const bitsPerFrame = codec.bitsPerCode * numCodebooks;
    const header = codec.header(numCodebooks, defaultChunkFrames(bitsPerFrame, codec.frameRate));
    const writer = new Writer(header, {entropy: codec.entropy});
    writer.write(frames);
    writer.finish(sound.samples);
    const start = performance.now();
    const wave = await codec.decode(frames, sound.samples, null, progress);
    const seconds = (performance.now() - start) / 1000;
    return {bytes: writer.bytes(), wave, seconds, bits: frameBits(frames, codec.entropy, codec.bitsPerCode)};
  },

  /** The same through a network that loses a share `rate` of packets of a frame. */
  async lose({numCodebooks, rate}) {
    const frames = sound.frames.map((frame) => frame.subarray(0, numCodebooks));
    const lost = lostPackets(frames.length, rate);
    return {wave: await codec.decode(frames, sound.samples, lost), lost};
  },

  /** Open a file. */
  async open({bytes}, progress) {
    const reader = new Reader(bytes, {entropy: codec.entropy, conceal: true});
    const {model, weightsHash, numCodebooks} = reader.header;
    if (model !== codec.model || weightsHash !== codec.weightsHash) {
      throw new Error(`the file was made by ${model} (${weightsHash}), this page has ${codec.model} (${codec.weightsHash})`);
    }
    const frames = [];
    const lost = [];
    for (const chunk of reader) {
      const part = chunk.lost ? new Array(chunk.frameCount).fill(new Uint16Array(0)) : chunk.frames;
      frames.push(...part);
      lost.push(...part.map(() => chunk.lost));
    }
    const [samples] = reader.parts;
    if (reader.parts.length > 1) throw new Error("the file holds several recordings; this page opens files of one");
    sound = {frames, samples};
    const wave = await codec.decode(frames, samples, lost, progress);
    const damaged = lost.filter(Boolean).length;
    return {wave, numCodebooks, damaged, bits: frameBits(frames, codec.entropy, codec.bitsPerCode)};
  },

  /** Codes of the open sound, frame after frame, all codebooks. */
  async codes() {
    return sound.frames.map((frame) => [...frame]);
  },

  async liveStart({sampleRate}) {
    const {hop, numCodebooks} = codec;
    live = {
      down: new Resampler(sampleRate, codec.sampleRate),
      up: new Resampler(codec.sampleRate, sampleRate),
      encoder: codec.streamEncoder(),
      decoder: codec.streamDecoder(),
      reader: new PacketReader({jitter: 0}),
      random: generator(Date.now()),
      packets: [],
      hop,
    };
    const sink = packetSink((packet) => live.packets.push(packet));
    live.writer = new Writer({...codec.header(numCodebooks, 1), entropyModel: null}, {sink});
  },

  /** Microphone samples through encoder, packets, a network and decoder. */
  async live({samples, numCodebooks, rate}) {
    const start = performance.now();
    const frames = await live.encoder.push(live.down.push(samples));
    live.writer.write(frames.map((frame) => frame.subarray(0, numCodebooks)), numCodebooks);
    const packets = live.packets.splice(0);
    const bytes = packets.reduce((sum, packet) => sum + packet.length, 0);
    const kept = packets.filter((packet) => packet[1] & 0x80 || live.random() >= rate); // headers come again
    const items = kept.flatMap((packet) => live.reader.push(packet));
    const codes = items.flatMap((item) => (item.lost ? new Array(item.frameCount).fill(null) : item.frames));
    const wave = codes.length ? live.up.push(await live.decoder.push(codes)) : new Float32Array(0);
    return {
      wave,
      bytesSent: bytes,
      frames: frames.length,
      lost: codes.filter((frame) => !frame).length,
      seconds: (performance.now() - start) / 1000,
    };
  },
};

let queue = Promise.resolve();
self.onmessage = ({data: {id, task, ...given}}) => {
  queue = queue.then(async () => {
    try {
      const result = await tasks[task](given, (progress) => self.postMessage({id, progress}));
      self.postMessage({id, result});
    } catch (error) {
      self.postMessage({id, error: error.message});
    }
  });
};
