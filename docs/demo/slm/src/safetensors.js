import {BitstreamError} from "./errors.js";

const ARRAYS = {I8: Int8Array, U8: Uint8Array, I32: Int32Array, F32: Float32Array, F64: Float64Array, F16: Uint16Array};

/**
 * Arrays and metadata of a safetensors file (Uint8Array). F16 comes as Float32Array.
 * Returns {tensors: {name: {dtype, shape, data}}, metadata}.
 */
export function readSafetensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = bytes.length < 8 ? 0 : Number(view.getBigUint64(0, true));
  if (size < 2 || size + 8 > bytes.length) throw new BitstreamError("not a safetensors file");
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
  } catch {
    throw new BitstreamError("not a safetensors file");
  }
  const {__metadata__: metadata = {}, ...entries} = header;
  const tensors = {};
  for (const [name, {dtype, shape, data_offsets: [start, end]}] of Object.entries(entries)) {
    const kind = ARRAYS[dtype];
    const count = shape.reduce((product, length) => product * length, 1);
    if (!kind || end - start !== count * kind.BYTES_PER_ELEMENT || 8 + size + end > bytes.length) {
      throw new BitstreamError(`the array ${name} is not one of a safetensors file`);
    }
    // A copy: offsets in the file need not be multiples of the size of an element.
    const first = bytes.byteOffset + 8 + size;
    const data = new kind(bytes.buffer.slice(first + start, first + end));
    tensors[name] = {dtype, shape, data: dtype === "F16" ? fromHalf(data) : data};
  }
  return {tensors, metadata};
}

let halves = null; // the value of each of the 2^16

function fromHalf(data) {
  halves ??= Float32Array.from({length: 2 ** 16}, (_, half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
  });
  const values = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) values[i] = halves[data[i]];
  return values;
}
