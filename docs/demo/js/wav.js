/** WAV files: 16-bit mono out; PCM of 16 bits in, so that its samples are exactly those that Python reads. */

/** {wave: Float32Array, sampleRate} of a 16-bit PCM file, channels averaged; null for anything else. */
export function readWav(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (place) => String.fromCharCode(...bytes.subarray(place, place + 4));
  if (bytes.length < 44 || name(0) !== "RIFF" || name(8) !== "WAVE") return null;
  let format = null;
  for (let place = 12; place + 8 <= bytes.length; ) {
    const size = view.getUint32(place + 4, true);
    const start = place + 8;
    if (name(place) === "fmt " && start + 16 <= bytes.length) {
      const [kind, channels, bits] = [0, 2, 14].map((field) => view.getUint16(start + field, true));
      if (kind !== 1 || bits !== 16 || !channels) return null;
      format = {channels, sampleRate: view.getUint32(start + 4, true)};
    } else if (name(place) === "data" && format) {
      const {channels, sampleRate} = format;
      const count = Math.floor(Math.min(size, bytes.length - start) / (2 * channels));
      const wave = Float32Array.from({length: count}, (_, i) => {
        let sum = 0;
        for (let c = 0; c < channels; c++) sum += view.getInt16(start + 2 * (i * channels + c), true);
        return sum / channels / 32768;
      });
      return {wave, sampleRate};
    }
    place = start + size + (size % 2);
  }
  return null;
}

/** A 16-bit mono file of `wave` (Float32Array). */
export function writeWav(wave, sampleRate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * wave.length));
  const text = (place, letters) => [...letters].forEach((letter, i) => view.setUint8(place + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * wave.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * sampleRate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * wave.length, true);
  wave.forEach((x, i) => view.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(x * 32768))), true));
  return new Uint8Array(view.buffer);
}
