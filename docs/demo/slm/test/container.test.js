import assert from "node:assert/strict";
import {createHash} from "node:crypto";
import {test} from "node:test";

import {BitstreamError, PacketReader, Reader, TruncatedError, Writer, defaultChunkFrames, packetSink} from "speechlm-slm";

import {fromHex} from "../src/bytes.js";

// The golden bytes of tests/bitstream/test_stream.py.
const GOLDEN = fromHex(
  "534c4d010902807dc002040123abcd0a746573742d6d6f64656c07ca00d9e99a33a682e034526d08a5145d00" +
    "4efe20a6eb136870422c38913c7a6002642ce3dd03bdf0861edf",
);
const CODES = [
  [871, 652, 523, 276, 315, 41, 77, 16, 179, 832],
  [665, 934, 515, 621, 994, 747, 647, 556, 573, 957],
];
const FRAMES = CODES[0].map((_, t) => [CODES[0][t], CODES[1][t]]);
const SMALL = {
  model: "m", weightsHash: "00ff00ff", sampleRate: 8000, hopLength: 160, bitsPerCode: 10,
  numCodebooks: 2, chunkFrames: 8, entropyModel: null,
};
const digest = (bytes) => createHash("sha256").update(bytes).digest("hex").slice(0, 16);
const all = (bytes, options) => [...new Reader(bytes, options)].flatMap((chunk) =>
  chunk.lost ? new Array(chunk.frameCount).fill("lost") : chunk.frames.map((frame) => [...frame]));

test("the golden bytes decode", () => {
  const reader = new Reader(GOLDEN);
  assert.deepEqual(reader.header, {
    model: "test-model", weightsHash: "0123abcd", sampleRate: 16000, hopLength: 320, bitsPerCode: 10,
    numCodebooks: 2, chunkFrames: 4, entropyModel: null,
  });
  assert.deepEqual([...reader].flatMap((chunk) => chunk.frames.map((frame) => [...frame])), FRAMES);
  assert.deepEqual(reader.parts, [3100]);
});

test("the golden bytes are written", () => {
  const writer = new Writer(new Reader(GOLDEN).header);
  writer.write(FRAMES);
  writer.finish(3100);
  assert.deepEqual(writer.bytes(), GOLDEN);
});

test("fewer levels in a chunk, odd bits and a name beyond ASCII, by hash", () => {
  const writer = new Writer({...SMALL, model: "модель", bitsPerCode: 11, numCodebooks: 32, chunkFrames: 5});
  const frames = Array.from({length: 13}, (_, t) => Array.from({length: 32}, (_, k) => (t * 97 + k * 31) % 2048));
  writer.write(frames);
  writer.write(frames.map((frame) => frame.slice(0, 7)), 7);
  writer.finish(26 * 160 - 1234);
  assert.equal(digest(writer.bytes()), "129fbd869f196aa0");
});

test("ragged frames, by hash, and back", () => {
  const writer = new Writer({...SMALL, numCodebooks: 12, chunkFrames: 40});
  const frames = Array.from({length: 100}, (_, t) =>
    Array.from({length: Math.floor((t * t) / 7) % 13}, (_, k) => (t * 97 + k * 31) % 1024));
  writer.write(frames);
  writer.finish(100 * 160 - 100);
  assert.equal(digest(writer.bytes()), "c739bbbe8ec4c26d");
  assert.deepEqual(all(writer.bytes()), frames);
});

test("every byte counts: a change anywhere is noticed", () => {
  for (let place = 0; place < GOLDEN.length; place++) {
    const bytes = GOLDEN.slice();
    bytes[place] ^= 1;
    assert.throws(() => all(bytes), BitstreamError);
    assert.throws(() => all(GOLDEN.subarray(0, place)), TruncatedError);
  }
});

test("damage costs a chunk", () => {
  const bytes = GOLDEN.slice();
  bytes[GOLDEN.length - 24] ^= 1; // in the second chunk
  const frames = all(bytes, {conceal: true});
  assert.deepEqual(frames.slice(0, 4), FRAMES.slice(0, 4));
  assert.deepEqual(frames.slice(4, 8), new Array(4).fill("lost"));
  assert.deepEqual(frames.slice(8), FRAMES.slice(8));
});

test("streams that cat joins are parts, and what else follows is ignored", () => {
  const reader = new Reader(Buffer.concat([GOLDEN, GOLDEN, Buffer.from("else")]));
  assert.equal([...reader].length, 6);
  assert.deepEqual(reader.parts, [3100, 3100]);
  assert.equal(reader.trailing, 4);
});

test("a stream claims no more sound than its bytes pay for", () => {
  const header = {...SMALL, numCodebooks: 1, chunkFrames: 2 ** 18, sampleRate: 8000, hopLength: 8000};
  const writer = new Writer(header);
  writer.write(new Array(2 ** 18).fill([]));
  writer.finish(2 ** 18 * 8000);
  assert.throws(() => all(writer.bytes()), /more sound than its bytes/);
});

test("packets survive loss, repetition and another order", () => {
  const packets = [];
  const writer = new Writer({...SMALL, chunkFrames: 1}, {sink: packetSink((packet) => packets.push(packet))});
  const frames = Array.from({length: 120}, (_, t) => [t, 2 * t]);
  writer.write(frames);
  writer.finish(120 * 160);
  const order = packets.map((_, i) => i).filter((i) => i !== 20); // chunk 19, after a header
  [order[5], order[6]] = [order[6], order[5]];
  order.splice(40, 0, order[39]);
  const reader = new PacketReader();
  const items = [...order.flatMap((i) => reader.push(packets[i])), ...reader.flush()];
  const got = items.flatMap((item) => (item.lost ? ["lost"] : item.frames.map((frame) => [...frame])));
  assert.deepEqual(got, frames.map((frame, t) => (t === 19 ? "lost" : frame)));
  assert.ok(reader.ended);
});

test("files have chunks of at least a second and 1,000 bytes", () => {
  assert.deepEqual([10, 20, 30, 60, 120].map((bits) => defaultChunkFrames(bits, 50)), [800, 400, 268, 134, 67]);
});

test("headers out of range are refused", () => {
  for (const change of [{bitsPerCode: 17}, {numCodebooks: 0}, {hopLength: 8001}, {chunkFrames: 2 ** 18}, {model: ""}, {model: "a\n"}, {weightsHash: "xyz"}]) {
    assert.throws(() => new Writer({...SMALL, ...change}), BitstreamError);
  }
});
