// Streams on standard input, read, and written again from their codes: see test_package.py.
import {readFileSync} from "node:fs";

import {EntropyModel, PacketReader, Reader, Writer, packetSink} from "../../docs/demo/slm/src/index.js";

const model = EntropyModel.load(readFileSync(process.argv[2]));
const bytesOf = (text) => new Uint8Array(Buffer.from(text, "base64"));
const textOf = (bytes) => Buffer.from(bytes).toString("base64");

function* packetsOf(bytes) {
  for (let place = 0; place < bytes.length; ) {
    const size = 4 + ((bytes[place] | (bytes[place + 1] << 8)) & 0x7fff);
    yield bytes.subarray(place, (place += size));
  }
}

const results = JSON.parse(readFileSync(0, "utf8")).map(({header: fields, entropy: hash, parts, trim, file, packets}) => {
  const [name, weightsHash, sampleRate, hopLength, bitsPerCode, numCodebooks, chunkFrames] = fields;
  const header = {model: name, weightsHash, sampleRate, hopLength, bitsPerCode, numCodebooks, chunkFrames, entropyModel: hash};
  const entropy = hash ? model : null;
  const write = (sink) => {
    const writer = new Writer(header, {entropy, sink});
    parts.forEach(({levels, frames}, number) => {
      writer.write(frames, levels);
      writer.finish(frames.length * hopLength - trim, number === parts.length - 1);
    });
    return writer;
  };
  const listed = (chunk) => chunk.frames.map((frame) => [...frame]);
  const receiver = new PacketReader({entropy});
  const received = [...packetsOf(bytesOf(packets))].flatMap((packet) => receiver.push(packet));
  const sent = [];
  write(packetSink((packet) => sent.push(...packet)));
  return {
    read: [...new Reader(bytesOf(file), {entropy})].flatMap(listed),
    received: [...received, ...receiver.flush()].flatMap(listed),
    file: textOf(write(null).bytes()),
    packets: textOf(sent),
  };
});
console.log(JSON.stringify(results));
