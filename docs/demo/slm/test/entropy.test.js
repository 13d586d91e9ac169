import assert from "node:assert/strict";
import {createHash} from "node:crypto";
import {readFileSync} from "node:fs";
import {test} from "node:test";

import {BitstreamError, EntropyModel, Reader, Writer} from "speechlm-slm";

import {decodePayload, encodePayload} from "../src/coders.js";

const golden = (name) =>
  new Uint8Array(readFileSync(new URL(`../../../../tests/bitstream/entropy/golden/${name}`, import.meta.url)));

/** The model of tests/bitstream/entropy/models.py, whose weights follow from a formula. */
function arrays() {
  const [levels, cardinality, width, trunk, hidden, layers, head] = [4, 32, 6, 8, 10, 3, 7];
  let state = 1n;
  const draw = (kind, most, ...shape) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const data = kind.from({length: count}, () => {
      state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
      return Number((state >> 33n) % BigInt(2 * most + 1)) - most;
    });
    return {shape, data};
  };
  const weight = (...shape) => draw(Int8Array, 127, ...shape);
  const bias = (...shape) => draw(Int32Array, 2000, ...shape);
  const shift = (value, ...shape) => ({shape, data: new Int32Array(shape[0] ?? 1).fill(value)});
  return {
    embedding: weight(levels, cardinality, width),
    number: weight(levels + 1, width),
    "enter.weight": weight(trunk, width),
    "enter.bias": bias(trunk),
    "enter.shift": shift(5),
    "look.weight": weight(layers, hidden, 2 * trunk),
    "look.bias": bias(layers, hidden),
    "look.shift": shift(8, layers),
    "give.weight": weight(layers, trunk, hidden),
    "give.bias": bias(layers, trunk),
    "give.shift": shift(6, layers),
    "join.weight": weight(levels, head, trunk + width),
    "join.bias": bias(levels, head),
    "join.shift": shift(8, levels),
    "score.weight": weight(levels, cardinality, head),
    "score.bias": bias(levels, cardinality),
    "score.shift": shift(7, levels),
  };
}

/** As the Python tests digest codes: int64 (levels, frames), -1 where a frame has fewer. */
function digest(frames, levels) {
  const codes = new BigInt64Array(levels * frames.length).fill(-1n);
  frames.forEach((frame, t) => frame.forEach((code, k) => (codes[k * frames.length + t] = BigInt(code))));
  return createHash("sha256").update(new Uint8Array(codes.buffer)).digest("hex").slice(0, 16);
}

const model = new EntropyModel(arrays());

test("the model of the golden files is the same", () => assert.equal(model.hash, "f2e90a27"));

for (const [name, levels, frameCount, expected] of [
  ["full", 4, 60, "49657b080c332155"],
  ["ragged", 4, 90, "3577132da42335df"],
  ["long", 2, 700, "bd9b6d37b4ad163c"],
]) {
  test(`the golden payload ${name} decodes and is written`, () => {
    const payload = golden(`${name}.bin`);
    const frames = decodePayload({coding: 2, payload, levels, frameCount, bits: 5}, model);
    assert.equal(digest(frames, levels), expected);
    const written = encodePayload(frames, levels, 16, true, model); // of 16 bits a code: entropy coding wins
    assert.equal(written.coding, 2);
    assert.deepEqual(written.payload, payload);
  });
}

test("the golden stream decodes and is written", () => {
  const bytes = golden("stream.slm");
  const reader = new Reader(bytes, {entropy: model});
  const chunks = [...reader];
  assert.deepEqual(chunks.map((chunk) => chunk.coding), [2, 2, 0]);
  assert.deepEqual(
    chunks.map((chunk) => digest(chunk.frames, chunk.levels)),
    ["fd600d0148325115", "238d487df10d026c", "876dbbb6bf6fdbdc"],
  );
  assert.deepEqual(reader.parts, [110 * 160 - 7]);
});

test("without its entropy model a stream tells all but its codes", () => {
  const [chunk] = new Reader(golden("stream.slm"));
  assert.ok(chunk.frameCount > 0);
  assert.throws(() => chunk.frames, BitstreamError);
});

test("a payload is damaged if its codes are not written so", () => {
  const payload = golden("full.bin");
  for (let place = 0; place < payload.length; place += 7) {
    const changed = payload.slice();
    changed[place] ^= 128;
    let frames;
    try {
      frames = decodePayload({coding: 2, payload: changed, levels: 4, frameCount: 60, bits: 5}, model);
    } catch (error) {
      assert.ok(error instanceof BitstreamError);
      continue;
    }
    assert.deepEqual(encodePayload(frames, 4, 16, true, model).payload, changed);
  }
});

test("codes that the model does not know are packed", () => {
  const header = {
    model: "m", weightsHash: "00000000", sampleRate: 8000, hopLength: 160, bitsPerCode: 6,
    numCodebooks: 2, chunkFrames: 4, entropyModel: model.hash,
  };
  const writer = new Writer(header, {entropy: model});
  const frames = [[1, 40], [2, 3], [63, 0], [5]];
  writer.write(frames);
  writer.finish(640);
  const [chunk] = new Reader(writer.bytes(), {entropy: model});
  assert.equal(chunk.coding, 1);
  assert.deepEqual(chunk.frames.map((frame) => [...frame]), frames);
});
