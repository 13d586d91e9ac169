/** The entropy model of coding 2: a small causal network in whole numbers. */
import {concat, toHex} from "./bytes.js";
import {BitstreamError} from "./errors.js";
import {frequencies} from "./frequencies.js";
import {readSafetensors} from "./safetensors.js";
import {sha256} from "./sha256.js";

const INPUT = 127;
const HIDDEN = 255;
const SUM = 1023;
const EXACT = 2 ** 24;
const SHAPES = {
  embedding: ["levels", "cardinality", "width"],
  number: ["levels + 1", "width"],
  "enter.weight": ["trunk", "width"],
  "enter.bias": ["trunk"],
  "enter.shift": [],
  "look.weight": ["layers", "hidden", "2 trunk"],
  "look.bias": ["layers", "hidden"],
  "look.shift": ["layers"],
  "give.weight": ["layers", "trunk", "hidden"],
  "give.bias": ["layers", "trunk"],
  "give.shift": ["layers"],
  "join.weight": ["levels", "head", "trunk + width"],
  "join.bias": ["levels", "head"],
  "join.shift": ["levels"],
  "score.weight": ["levels", "cardinality", "head"],
  "score.bias": ["levels", "cardinality"],
  "score.shift": ["levels"],
};

/** round(value / 2^shift), halves to even. */
function shifted(value, shift) {
  if (!shift) return value;
  const quotient = value >> shift;
  const twice = 2 * (value - (quotient << shift));
  const unit = 1 << shift;
  return quotient + (twice > unit || (twice === unit && quotient & 1) ? 1 : 0);
}

const crop = (value, low, high) => (value < low ? low : value > high ? high : value);

/** `(weight x + bias) / 2^shift`; exact, since no sum reaches 2^24. */
class Linear {
  constructor(weight, bias, shift, bound) {
    this.weight = weight;
    this.bias = bias;
    this.shift = shift;
    this.outputs = bias.length;
    this.inputs = weight.length / bias.length;
    for (let row = 0; row < this.outputs; row++) {
      let sum = Math.abs(bias[row]);
      for (let i = 0; i < this.inputs; i++) sum += Math.abs(weight[row * this.inputs + i]) * bound(i);
      if (sum >= EXACT) throw new BitstreamError("an entropy model with weights too large");
    }
    if (shift < 0 || shift > 24) throw new BitstreamError("an entropy model with a shift out of range");
  }

  apply(x, low, high) {
    const {weight, bias, shift, inputs, outputs} = this;
    const y = new Int32Array(outputs);
    let place = 0;
    for (let row = 0; row < outputs; row++) {
      let sum = bias[row];
      for (let i = 0; i < inputs; i++) sum = (sum + Math.imul(weight[place++], x[i])) | 0;
      const value = shifted(sum, shift);
      y[row] = low === undefined ? value : crop(value, low, high);
    }
    return y;
  }
}

export class EntropyModel {
  /** From the bytes of `context.safetensors`. */
  static load(bytes) {
    return new EntropyModel(readSafetensors(bytes).tensors);
  }

  /** From arrays {name: {shape, data}}, int8 or int32. */
  constructor(arrays) {
    const sizes = measure(arrays);
    this.hash = digest(arrays);
    this.numCodebooks = sizes.levels;
    this.codebookSize = sizes.cardinality;
    this.width = sizes.width;
    this.trunk = sizes.trunk;
    this.layers = sizes.layers;
    /** Frames before one that its scores depend on. */
    this.reach = 2 ** sizes.layers;
    this.embedding = arrays.embedding.data;
    this.number = arrays.number.data;
    const linear = (name, index, count, bound) => {
      const [weight, bias, shift] = ["weight", "bias", "shift"].map((part) => {
        const {data} = arrays[`${name}.${part}`];
        const size = data.length / count;
        return data.subarray(index * size, (index + 1) * size);
      });
      return new Linear(weight, bias, shift[0], bound);
    };
    const each = (count, make) => Array.from({length: count}, (_, i) => make(i));
    this.enter = linear("enter", 0, 1, () => SUM);
    this.look = each(this.layers, (i) => linear("look", i, this.layers, () => INPUT));
    this.give = each(this.layers, (i) => linear("give", i, this.layers, () => HIDDEN));
    const read = (i) => (i < this.trunk ? INPUT : SUM);
    this.join = each(this.numCodebooks, (k) => linear("join", k, this.numCodebooks, read));
    this.score = each(this.numCodebooks, (k) => linear("score", k, this.numCodebooks, () => HIDDEN));
  }

  /** A walk over the frames of one chunk. */
  start() {
    return new Context(this);
  }
}

/** What a chunk's frames so far tell of the next. */
class Context {
  constructor(model) {
    this.model = model;
    this.entered = new Int32Array(model.trunk);
    this.lines = Array.from({length: model.layers}, (_, i) =>
      Array.from({length: 2 ** i}, () => new Int32Array(model.trunk)),
    );
    this.frame = 0;
  }

  /** Begin the next frame. */
  begin() {
    const {model} = this;
    const {trunk} = model;
    const x = Int32Array.from(this.entered);
    const pair = new Int32Array(2 * trunk);
    for (let layer = 0; layer < model.layers; layer++) {
      const line = this.lines[layer];
      const place = this.frame % line.length;
      const read = x.map((value) => crop(shifted(value, 3), -INPUT, INPUT));
      pair.set(read);
      pair.set(line[place], trunk);
      line[place] = read;
      const hidden = model.look[layer].apply(pair, 0, HIDDEN);
      const given = model.give[layer].apply(hidden);
      for (let i = 0; i < trunk; i++) x[i] += given[i];
    }
    this.read = new Int32Array(trunk + model.width);
    for (let i = 0; i < trunk; i++) this.read[i] = crop(shifted(x[i], 3), -INPUT, INPUT);
    this.total = new Int32Array(model.width);
    this.level = 0;
    this.frame++;
  }

  /** Frequencies of the next code of the frame. */
  frequencies() {
    const {model, read, total, level} = this;
    for (let i = 0; i < total.length; i++) read[model.trunk + i] = crop(total[i], -SUM, SUM);
    return frequencies(model.score[level].apply(model.join[level].apply(read, 0, HIDDEN)));
  }

  /** Tell the next code of the frame. */
  push(code) {
    const {embedding, codebookSize, width} = this.model;
    const place = (this.level * codebookSize + code) * width;
    for (let i = 0; i < width; i++) this.total[i] += embedding[place + i];
    this.level++;
  }

  /** End the frame. */
  end() {
    const {model, total, level} = this;
    const sum = total.map((value, i) => crop(value + model.number[level * model.width + i], -SUM, SUM));
    this.entered = model.enter.apply(sum);
  }
}

function measure(arrays) {
  const sizes = {};
  const wrong = (name) => new BitstreamError(`the entropy model's ${name} has a wrong type or shape`);
  for (const [name, terms] of Object.entries(SHAPES)) {
    const array = arrays[name];
    const kind = /bias|shift/.test(name) ? Int32Array : Int8Array;
    if (!array || !(array.data instanceof kind) || array.shape.length !== terms.length) throw wrong(name);
    terms.forEach((term, axis) => {
      const size = array.shape[axis];
      if (size < 1 || (sizes[term] ??= size) !== size) throw wrong(name);
    });
  }
  const fits =
    sizes["levels + 1"] === sizes.levels + 1 &&
    sizes["2 trunk"] === 2 * sizes.trunk &&
    sizes["trunk + width"] === sizes.trunk + sizes.width;
  if (!fits || sizes.cardinality < 2 || sizes.cardinality > 2 ** 16 || sizes.layers > 10) {
    throw new BitstreamError("the arrays of the entropy model do not fit together");
  }
  return sizes;
}

/** The hash by which a header names the model. */
function digest(arrays) {
  const parts = [];
  for (const name of Object.keys(SHAPES).sort()) {
    const {shape, data} = arrays[name];
    const type = data instanceof Int8Array ? "int8" : "int32";
    const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
    parts.push(new TextEncoder().encode(`${name} ${type} ${tuple}\n`));
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return toHex(sha256(concat(parts)).subarray(0, 4));
}
