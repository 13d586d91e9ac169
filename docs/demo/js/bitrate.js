/** Bits that each frame's codes take: by the entropy model (EntropyModel), or packed (null). */
export function frameBits(frames, entropy, bitsPerCode) {
  if (!entropy) return Float64Array.from(frames, (frame) => frame.length * bitsPerCode);
  const context = entropy.start();
  return Float64Array.from(frames, (frame) => {
    let bits = 0;
    context.begin();
    for (const code of frame) {
      bits += 24 - Math.log2(context.frequencies()[code]);
      context.push(code);
    }
    context.end();
    return bits;
  });
}
