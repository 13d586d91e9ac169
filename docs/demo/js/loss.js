/** Which of `count` packets a network loses that loses a share of `rate`; the same for a `seed`. */
export function lostPackets(count, rate, seed = 1) {
  const random = generator(seed);
  return Array.from({length: count}, () => random() < rate);
}

/** Uniform numbers in [0, 1) (mulberry32). */
export function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
