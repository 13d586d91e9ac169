/** From whole scores, in sixteenths of a bit, to frequencies that add up to 2^24. */
const TOTAL = 2 ** 24;
const STEPS = 320;

const POWERS = Float64Array.from({length: STEPS + 1}, (_, step) => {
  let power = 1n << BigInt(STEPS - step);
  for (let i = 0; i < 4; i++) power = integerRoot(power);
  return Number(power);
});

function integerRoot(value) {
  if (value < 2n) return value;
  let root = 1n << BigInt((value.toString(2).length + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** Frequencies (Float64Array) of codes with these `scores` (whole numbers). */
export function frequencies(scores) {
  const count = scores.length;
  const shares = new Float64Array(count);
  let best = -Infinity;
  for (let i = 0; i < count; i++) if (scores[i] > best) best = scores[i];
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const below = best - scores[i];
    shares[i] = below > STEPS ? 0 : POWERS[below];
    sum += shares[i];
  }
  const reciprocal = (BigInt(TOTAL - count) << 32n) / BigInt(sum);
  // floor(weight * reciprocal / 2^32) in two halves: every number stays below 2^53.
  const high = Number(reciprocal >> 18n);
  const low = Number(reciprocal & 0x3ffffn);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const weight = shares[i];
    shares[i] = 1 + Math.floor((weight * high + Math.floor((weight * low) / 2 ** 18)) / 2 ** 14);
    total += shares[i];
  }
  shares[count - 1] += TOTAL - total;
  return shares;
}
