import {concat, fromHex, toHex, varint} from "./bytes.js";
import {crc16} from "./checks.js";
import {BitstreamError, TruncatedError} from "./errors.js";

const MAGIC = [0x53, 0x4c, 0x4d];
const VERSION = 1;
const EXTENSION = 0x80;
const RESERVED = 0x70;
const MAX_EXTENSION = 4096;
const ENTROPY_MODEL = 1; // kind of the extension's field that names the entropy model
export const MAX_CHUNK_CODES = 2 ** 18;

const LIMITS = {
  sampleRate: 2 ** 24,
  hopLength: 2 ** 24,
  bitsPerCode: 16,
  numCodebooks: 255,
  chunkFrames: MAX_CHUNK_CODES,
};

/** Throws a BitstreamError where a field is out of range. */
export function checkHeader(header) {
  for (const [name, most] of Object.entries(LIMITS)) {
    const value = header[name];
    if (!Number.isInteger(value) || value < 1 || value > most) {
      throw new BitstreamError(`${name} ${value} is not in 1..${most}`);
    }
  }
  if (header.numCodebooks * header.chunkFrames > MAX_CHUNK_CODES) {
    throw new BitstreamError(`a chunk holds more than ${MAX_CHUNK_CODES} codes`);
  }
  if (header.hopLength > header.sampleRate) throw new BitstreamError("a frame is longer than a second");
  for (const hash of [header.weightsHash, header.entropyModel ?? "00000000"]) {
    if (!/^[0-9a-f]{8}$/.test(hash)) throw new BitstreamError(`the hash ${hash} is not 8 hex digits`);
  }
  const size = new TextEncoder().encode(header.model).length;
  // Controls, separators other than the space, surrogates and unassigned characters do not print.
  if (size < 1 || size > 127 || /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(header.model)) {
    throw new BitstreamError("the model id is not 1 to 127 bytes of printable text");
  }
}

/** The bytes of a header. */
export function writeHeader(header) {
  checkHeader(header);
  const model = new TextEncoder().encode(header.model);
  const named = header.entropyModel != null;
  const body = concat([
    MAGIC,
    [VERSION, (header.bitsPerCode - 1) | (named ? EXTENSION : 0), header.numCodebooks],
    varint(header.sampleRate),
    varint(header.hopLength),
    varint(header.chunkFrames),
    fromHex(header.weightsHash),
    [model.length],
    model,
    named ? [6, ENTROPY_MODEL, 4, ...fromHex(header.entropyModel)] : [],
  ]);
  const check = crc16(body);
  return concat([body, [check >> 8, check & 0xff]]);
}

/** Take a header from `source`. */
export function readHeader(source) {
  const start = source.position;
  try {
    return parse(source, start);
  } catch (error) {
    if (error instanceof TruncatedError) throw new TruncatedError("the stream ends inside its header");
    throw error;
  }
}

function parse(source, start) {
  if (source.take(3).some((byte, i) => byte !== MAGIC[i])) throw new BitstreamError("not an .slm stream");
  const version = source.u8();
  if (version > VERSION) throw new BitstreamError(`format version ${version} is newer than ${VERSION}`);
  const flags = source.u8();
  const numCodebooks = source.u8();
  const [sampleRate, hopLength, chunkFrames] = [source.varint(), source.varint(), source.varint()];
  const weightsHash = toHex(source.take(4));
  const name = source.take(source.u8());
  let fields = new Uint8Array();
  if (flags & EXTENSION) {
    const size = source.varint();
    if (size > MAX_EXTENSION) throw new BitstreamError("the header is damaged");
    fields = source.take(size);
  }
  const check = crc16(source.data.subarray(start, source.position));
  const [high, low] = source.take(2);
  if (check !== high * 256 + low || version !== VERSION || flags & RESERVED) {
    throw new BitstreamError("the header is damaged");
  }
  let model;
  try {
    model = new TextDecoder("utf-8", {fatal: true, ignoreBOM: true}).decode(name);
  } catch {
    throw new BitstreamError("the header is damaged");
  }
  const header = {
    model,
    weightsHash,
    sampleRate,
    hopLength,
    bitsPerCode: (flags & 15) + 1,
    numCodebooks,
    chunkFrames,
    entropyModel: namedEntropyModel(fields),
  };
  checkHeader(header);
  return header;
}

function namedEntropyModel(fields) {
  let hash = null;
  for (let place = 0; place + 2 <= fields.length; place += 2 + fields[place + 1]) {
    const value = fields.subarray(place + 2, place + 2 + fields[place + 1]);
    if (fields[place] === ENTROPY_MODEL) hash = value.length === 4 ? toHex(value) : null;
  }
  return hash;
}
