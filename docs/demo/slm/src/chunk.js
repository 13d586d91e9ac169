import {packedSize} from "./bitpacking.js";
import {concat, u32, varint} from "./bytes.js";
import {crc32} from "./checks.js";
import {PACKED, largestSize} from "./coders.js";
import {BitstreamError} from "./errors.js";

const HAS_LEVELS = 0x10;
const HAS_FRAMES = 0x20;
const IS_LAST = 0x40;
const ENDS_PART = 0x80;

/**
 * The record of a chunk with its check. `trim` is null, or ends a part; `last` says whether that is
 * the last part. `head` is the CRC-32 of the header.
 */
export function writeChunk({levels, frameCount, trim, last, coding, payload}, header, head, number) {
  let tag = coding;
  const fields = [];
  if (levels !== header.numCodebooks) {
    tag |= HAS_LEVELS;
    fields.push(levels);
  }
  if (frameCount !== header.chunkFrames) {
    tag |= HAS_FRAMES;
    fields.push(...varint(frameCount));
  }
  if (trim !== null) {
    tag |= last ? IS_LAST : ENDS_PART;
    fields.push(...varint(trim));
  }
  if (coding !== PACKED) fields.push(...varint(payload.length));
  const record = concat([[tag], fields, payload]);
  return concat([record, u32(chunkCheck(head, record, number))]);
}

/** Take a chunk that is number `number`. Throws a BitstreamError if it is another one or damaged. */
export function readChunk(source, header, head, number) {
  const chunk = readRecord(source, header, head);
  if (chunk.mark !== numberMark(number)) throw new BitstreamError("a chunk is damaged");
  return chunk;
}

/** Take a chunk of any number: that whose `numberMark` is its `mark`, if it is not damaged. */
export function readRecord(source, header, head) {
  const start = source.position;
  const shape = readShape(source, header);
  const payload = source.take(shape.size);
  const check = chunkCheck(head, source.data.subarray(start, source.position), 0);
  const mark = (source.u32() ^ check) >>> 0;
  return {...shape, payload, mark, bits: header.bitsPerCode, size: source.position - start};
}

/** Take the fields of a chunk; `size` is that of its payload. */
export function readShape(source, header) {
  const tag = source.u8();
  const coding = tag & 15;
  const [last, ends] = [Boolean(tag & IS_LAST), Boolean(tag & ENDS_PART)];
  const levels = tag & HAS_LEVELS ? source.u8() : header.numCodebooks;
  const frameCount = tag & HAS_FRAMES ? source.varint() : header.chunkFrames;
  const trim = last || ends ? source.varint() : null;
  const possible =
    !(last && ends) &&
    levels >= 1 &&
    levels <= header.numCodebooks &&
    frameCount >= (last || ends ? 0 : 1) &&
    frameCount <= header.chunkFrames;
  if (!possible) throw new BitstreamError("a chunk is damaged");
  const bits = header.bitsPerCode;
  const size = coding === PACKED ? packedSize(levels * frameCount, bits) : source.varint();
  if (size > largestSize(levels, frameCount, bits)) throw new BitstreamError("a chunk is damaged");
  return {levels, frameCount, trim, last, coding, size};
}

function chunkCheck(head, record, number) {
  return crc32(u32(number), crc32(record, head));
}

/** In which bits the check of a record as chunk `number` differs from that as chunk 0: a CRC is linear. */
export function numberMark(number) {
  return (chunkCheck(0, [], number) ^ chunkCheck(0, [], 0)) >>> 0;
}
