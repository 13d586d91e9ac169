import {RealFFT} from "./fft.js";

const SIZE = 512;
const ROWS = 160;
const RANGE = 75; // dB
// Dark violet over red to pale yellow, of rising lightness.
const STOPS = [[7, 6, 28], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];

const COLOURS = Array.from({length: 256}, (_, level) => {
  const place = (level / 255) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(place));
  return STOPS[low].map((value, i) => value + (place - low) * (STOPS[low + 1][i] - value));
});

/** Draw the spectrogram of `wave` on `canvas`, `columns` wide, with `loudest` dB as its brightest. */
export function drawSpectrogram(canvas, wave, columns) {
  const fft = new RealFFT(SIZE);
  const window = Float64Array.from({length: SIZE}, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));
  canvas.width = columns;
  canvas.height = ROWS;
  const picture = new ImageData(columns, ROWS);
  const frame = new Float64Array(SIZE);
  for (let x = 0; x < columns; x++) {
    const middle = Math.round(((x + 0.5) / columns) * wave.length);
    for (let i = 0; i < SIZE; i++) frame[i] = (wave[middle - SIZE / 2 + i] ?? 0) * window[i];
    const {re, im} = fft.transform(frame);
    for (let y = 0; y < ROWS; y++) {
      const bin = Math.round((1 - y / (ROWS - 1)) * (SIZE / 2));
      const decibel = 10 * Math.log10((re[bin] ** 2 + im[bin] ** 2) / (SIZE / 4) ** 2 + 1e-12);
      const level = Math.max(0, Math.min(255, Math.round(((decibel + 95) / RANGE) * 255)));
      picture.data.set([...COLOURS[level], 255], 4 * (y * columns + x));
    }
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** SVG path of kbps over time, a point for each window of `window` frames; and the largest. */
export function bitratePath(bits, frameRate, window, top) {
  const points = [];
  for (let start = 0; start < bits.length; start += window) {
    const part = bits.slice(start, start + window);
    const kbps = (part.reduce((sum, value) => sum + value, 0) / part.length) * (frameRate / 1000);
    points.push(kbps);
  }
  const line = points.map((kbps, i) => {
    const y = (100 - (Math.min(kbps, top) / top) * 100).toFixed(2);
    const [from, to] = [i, i + 1].map((n) => ((100 * Math.min(n * window, bits.length)) / bits.length).toFixed(3));
    return `${i ? "L" : "M"}${from} ${y} L${to} ${y}`;
  });
  return {path: line.join(" "), points};
}
