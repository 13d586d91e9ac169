/** The encoder and the search of codebooks in double precision, for frames with near ties. */
const KERNEL = 7;
const EPSILON = 1e-5; // of layer normalisation

/** erf, to double precision: a series of positive terms. */
function erf(x) {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  let term = z;
  let sum = z;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * z * z) / (2 * n + 1);
    sum += term;
  }
  return (Math.sign(x) * 2 * sum * Math.exp(-z * z)) / Math.sqrt(Math.PI);
}

const gelu = (x) => 0.5 * x * (1 + erf(x / Math.SQRT2));

function linear(x, {weight, bias}) {
  const y = new Float64Array(bias.length);
  const inputs = x.length;
  for (let row = 0, place = 0; row < y.length; row++) {
    let sum = bias[row];
    for (let i = 0; i < inputs; i++) sum += weight[place++] * x[i];
    y[row] = sum;
  }
  return y;
}

function layerNorm(x, {weight, bias}) {
  let mean = 0;
  for (const value of x) mean += value;
  mean /= x.length;
  let variance = 0;
  for (const value of x) variance += (value - mean) ** 2;
  const scale = 1 / Math.sqrt(variance / x.length + EPSILON);
  return x.map((value, i) => (value - mean) * scale * (weight ? weight[i] : 1) + (bias ? bias[i] : 0));
}

export class ExactEncoder {
  /** `tensors` of codec.safetensors, and how many blocks the encoder has. */
  constructor(tensors, blocks) {
    const get = (name) => tensors[`encoder.stages.${name}`]?.data;
    const pair = (name) => ({weight: get(`${name}.weight`), bias: get(`${name}.bias`)});
    this.first = pair("0.linear");
    this.firstNorm = pair("1.norm");
    this.blocks = Array.from({length: blocks}, (_, i) => ({
      conv: pair(`${2 + i}.depthwise.conv`),
      norm: pair(`${2 + i}.norm`),
      up: pair(`${2 + i}.up`),
      down: pair(`${2 + i}.down`),
      scale: get(`${2 + i}.scale`),
    }));
    this.lastNorm = pair(`${2 + blocks}.norm`);
    this.last = pair(`${3 + blocks}.linear`);
    /** Frames that one depends on, itself included. */
    this.reach = blocks * (KERNEL - 1) + 1;
    const {shape, data} = tensors.codebooks;
    [this.numCodebooks, this.codebookSize, this.dim] = shape;
    this.codebooks = data;
    this.offsets = Float64Array.from({length: shape[0] * shape[1]}, (_, entry) => {
      let sum = 0;
      for (let i = 0; i < this.dim; i++) sum += data[entry * this.dim + i] ** 2;
      return -sum / 2;
    });
  }

  /**
   * Latents (Float64Array) of the last of `frames`: features of it and those before, `reach` of them
   * or all since the beginning.
   */
  latents(frames) {
    let x = frames.map((frame) => layerNorm(linear(frame, this.first), this.firstNorm));
    this.blocks.forEach((block, i) => {
      // The frames that the blocks after this one look back on.
      const needed = Math.min(x.length, (this.blocks.length - 1 - i) * (KERNEL - 1) + 1);
      x = x.slice(x.length - needed).map((_, k) => this.#block(block, x, x.length - needed + k));
    });
    return layerNorm(linear(layerNorm(x[x.length - 1], this.lastNorm), this.last), {});
  }

  #block({conv, norm, up, down, scale}, x, t) {
    const y = Float64Array.from(conv.bias);
    for (let tap = 0; tap < KERNEL; tap++) {
      const frame = x[t - (KERNEL - 1) + tap];
      if (frame) for (let i = 0; i < y.length; i++) y[i] += conv.weight[i * KERNEL + tap] * frame[i];
    }
    const z = linear(linear(layerNorm(y, norm), up).map(gelu), down);
    return x[t].map((value, i) => value + z[i] * scale[i]);
  }

  /** Codes (Uint16Array) of a frame's latents: at each codebook the nearest entry to what is left. */
  search(latents) {
    const {dim, codebookSize, codebooks, offsets} = this;
    const left = Float64Array.from(latents);
    return Uint16Array.from({length: this.numCodebooks}, (_, k) => {
      let best = 0;
      let most = -Infinity;
      for (let entry = 0; entry < codebookSize; entry++) {
        let place = (k * codebookSize + entry) * dim;
        let score = offsets[k * codebookSize + entry];
        for (let i = 0; i < dim; i++) score += codebooks[place++] * left[i];
        if (score > most) {
          most = score;
          best = entry;
        }
      }
      const place = (k * codebookSize + best) * dim;
      for (let i = 0; i < dim; i++) left[i] -= codebooks[place + i];
      return best;
    });
  }
}
