/** The page: a recording to codes and back, by the worker's codec. */
import {startWorker} from "./client.js";
import {bitratePath, drawSpectrogram} from "./drawing.js";
import {Live} from "./live.js";
import {Player} from "./player.js";
import {Recorder} from "./recorder.js";
import {readWav, writeWav} from "./wav.js";

const MAX_SECONDS = 300;
const BITRATE_WINDOW = 10; // frames

const $ = (id) => document.getElementById(id);
const worker = startWorker();
let codec = null;
let sound = null; // {name, original, opened, encoding}
let packed = null; // what the worker made of it at this bitrate

const player = new Player(() => showPlaying());

function numCodebooks() {
  return Number($("rate").value);
}

function lossRate() {
  return Number($("loss").value) / 100;
}

function kbpsOf(codebooks) {
  return (codebooks * codec.bitsPerCode * codec.sampleRate) / codec.hop / 1000;
}

// --- what goes on -------------------------------------------------------------------------------

function tell(text, progress = null) {
  $("status-text").textContent = text;
  $("status").dataset.busy = progress !== null;
  $("progress").value = progress ?? 0;
}

function complain(error) {
  $("problem").textContent = `${error.message ?? error}`;
  $("problem").hidden = false;
  tell("Ready");
}

/** One after the other, so that none sees half of what another does. */
let jobs = Promise.resolve();
function job(work) {
  jobs = jobs.then(async () => {
    $("problem").hidden = true;
    try {
      await work();
    } catch (error) {
      complain(error);
    }
  });
  return jobs;
}

// --- a recording ----------------------------------------------------------------------------------

/** Mono samples at the codec's rate of the bytes of an audio file. */
async function decodeAudio(bytes) {
  const wav = readWav(bytes);
  if (wav?.sampleRate === codec.sampleRate) return wav.wave;
  const reader = new OfflineAudioContext(1, 1, codec.sampleRate);
  let buffer;
  try {
    buffer = await reader.decodeAudioData(bytes.slice().buffer);
  } catch {
    throw new Error("the browser cannot read this file: it is no audio, or of an unknown format");
  }
  const mono = new Float32Array(buffer.length);
  for (let c = 0; c < buffer.numberOfChannels; c++) {
    buffer.getChannelData(c).forEach((x, i) => (mono[i] += x / buffer.numberOfChannels));
  }
  return mono;
}

async function openBytes(bytes, name) {
  if (bytes[0] === 0x53 && bytes[1] === 0x4c && bytes[2] === 0x4d) return openStream(bytes, name);
  tell(`Reading ${name} …`, 0);
  await openWave(await decodeAudio(bytes), name);
}

async function openWave(wave, name) {
  if (!wave.length) throw new Error(`${name} holds no sound`);
  if (wave.length > MAX_SECONDS * codec.sampleRate) throw new Error(`${name} is longer than ${MAX_SECONDS / 60} minutes`);
  tell("Encoding …", 0);
  const encoding = await worker.encode({wave}, (share) => tell("Encoding …", share));
  sound = {name, original: wave, opened: false, encoding, seconds: wave.length / codec.sampleRate};
  await pack();
}

async function openStream(bytes, name) {
  tell("Decoding …", 0);
  const made = await worker.open({bytes}, (share) => tell("Decoding …", share));
  const seconds = made.wave.length / codec.sampleRate;
  sound = {name, original: null, opened: true, encoding: null, seconds};
  $("rate").value = made.numCodebooks;
  packed = {...made, bytes, lost: null};
  if (made.damaged) complain(`${made.damaged} frames of the file are damaged and were concealed`);
  await lose();
  show();
}

/** Code the recording at the chosen bitrate. */
async function pack() {
  tell("Coding …", 0);
  packed = {...(await worker.pack({numCodebooks: numCodebooks()}, (share) => tell("Decoding …", share))), lost: null};
  await lose();
  show();
}

async function lose() {
  packed.lost = lossRate() ? await worker.lose({numCodebooks: numCodebooks(), rate: lossRate()}) : null;
}

// --- what is seen -----------------------------------------------------------------------------------

function showRate() {
  const codebooks = numCodebooks();
  $("rate-value").textContent = `${codec ? kbpsOf(codebooks) : codebooks / 2} kbps`;
  if (codec) {
    const entries = codec.codebookSize.toLocaleString("en");
    const rate = codec.sampleRate / codec.hop;
    $("rate-hint").textContent = `${codebooks} codebook${codebooks > 1 ? "s" : ""} of ${entries} entries, ${rate} frames a second`;
  }
  $("rate").setAttribute("aria-valuetext", $("rate-value").textContent);
  $("loss-value").textContent = `${$("loss").value} %`;
}

function versions() {
  return [sound.original, packed.wave, packed.lost?.wave ?? null];
}

function show() {
  const waves = versions();
  $("listen").hidden = false;
  player.load(waves, codec.sampleRate);
  const columns = Math.min(900, Math.max(300, Math.round($("plots").clientWidth)));
  waves.forEach((wave, version) => {
    const figure = document.querySelector(`figure[data-version="${version}"]`);
    figure.hidden = !wave;
    if (wave) drawSpectrogram(figure.querySelector("canvas"), wave, columns);
    const choice = document.querySelector(`input[name="version"][value="${version}"]`);
    choice.disabled = !wave;
    choice.parentElement.hidden = !wave;
  });
  if (!waves[player.active]) choose(1);
  else choose(player.active);
  showBitrate();
  showFacts();
  $("length").textContent = clock(sound.seconds);
  showPlaying();
  const {encoding} = sound;
  tell(encoding ? `${sound.name}: ${encoding.frames} frames, ${encoding.recomputed} of them checked in double precision` : sound.name);
}

function showBitrate() {
  const nominal = kbpsOf(numCodebooks());
  const top = nominal * 1.25;
  const {path, points} = bitratePath(packed.bits, codec.sampleRate / codec.hop, BITRATE_WINDOW, top);
  const svg = $("bitrate");
  svg.querySelector("path").setAttribute("d", path);
  const line = svg.querySelector("line");
  const y = 100 - (nominal / top) * 100;
  line.setAttribute("y1", y);
  line.setAttribute("y2", y);
  const range = `${Math.min(...points).toFixed(1)} to ${Math.max(...points).toFixed(1)} kbps; dashed: packed, ${nominal} kbps`;
  $("bitrate-range").textContent = `(${range})`;
  svg.setAttribute("aria-label", `Bitrate over time: ${range}`);
}

function showFacts() {
  const {bytes} = packed;
  $("fact-kbps").textContent = `${((bytes.length * 8) / sound.seconds / 1000).toFixed(2)} kbps`;
  $("fact-size").textContent = `${bytes.length.toLocaleString("en")} bytes`;
  $("fact-ratio").textContent = `${Math.round((2 * sound.seconds * codec.sampleRate) / bytes.length)} times larger`;
  const took = (sound.encoding?.seconds ?? 0) + (packed.seconds ?? 0);
  $("fact-speed").textContent = took ? `${(sound.seconds / took).toFixed(1)} × real time` : "–";
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
}

function showPlaying() {
  $("play").dataset.playing = player.playing;
  $("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
  const share = player.duration ? player.position / player.duration : 0;
  $("now").textContent = clock(player.position);
  $("seek").value = Math.round(share * 1000);
  $("seek").setAttribute("aria-valuetext", clock(player.position));
  $("plots").style.setProperty("--played", `${share * 100}%`);
  if (player.playing) requestAnimationFrame(showPlaying);
}

function choose(version) {
  player.choose(version);
  document.querySelector(`input[name="version"][value="${version}"]`).checked = true;
  for (const figure of document.querySelectorAll("figure[data-version]")) {
    figure.classList.toggle("active", Number(figure.dataset.version) === version);
  }
}

// --- what is done -----------------------------------------------------------------------------------

function download(bytes, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], {type: "application/octet-stream"}));
  link.download = sound.name.replace(/\.[^.]*$/, "") + ending;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function openFile(file) {
  return job(async () => openBytes(new Uint8Array(await file.arrayBuffer()), file.name));
}

$("choose").onclick = () => $("file").click();
$("file").onchange = () => {
  const [file] = $("file").files;
  if (file) openFile(file);
  $("file").value = "";
};
$("sample").onclick = () =>
  job(async () => {
    const response = await fetch(new URL("../model/sample.flac", import.meta.url));
    if (!response.ok) throw new Error("the sample is missing");
    await openBytes(new Uint8Array(await response.arrayBuffer()), "sample.flac");
  });

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const [file] = event.dataTransfer.files;
  if (file && codec) openFile(file);
});

$("rate").oninput = showRate;
$("rate").onchange = () =>
  job(async () => {
    if (sound) await pack();
  });
$("loss").oninput = showRate;
$("loss").onchange = () =>
  job(async () => {
    if (!sound) return;
    tell("Decoding …", 0);
    await lose();
    if (packed.lost) player.choose(2);
    show();
  });

function toggle() {
  if (player.playing) player.pause();
  else player.play();
  showPlaying();
}
$("play").onclick = toggle;
$("seek").oninput = () => {
  player.seek(($("seek").value / 1000) * player.duration);
  showPlaying();
};
$("plots").onclick = (event) => {
  const {left, width} = $("plots").getBoundingClientRect();
  player.seek(((event.clientX - left) / width) * player.duration);
  showPlaying();
};
for (const input of document.querySelectorAll('input[name="version"]')) {
  input.onchange = () => choose(Number(input.value));
}
addEventListener("keydown", (event) => {
  if (!sound || event.ctrlKey || event.metaKey || event.altKey) return;
  const typed = event.target.closest?.("button, input, a");
  if (event.key === " " && (!typed || typed.type === "radio" || typed.type === "range")) {
    event.preventDefault();
    toggle();
  }
  const version = Number(event.key) - 1;
  if (version in versions() && versions()[version]) choose(version);
});

$("save-slm").onclick = () => download(packed.bytes, ".slm");
$("save-wav").onclick = () => download(writeWav(packed.wave, codec.sampleRate), ".decoded.wav");

const recorder = new Recorder();
$("record").onclick = () =>
  job(async () => {
    if (!recorder.running) {
      await recorder.start(() => $("record").click(), MAX_SECONDS);
      $("record").textContent = "Stop recording";
      $("record").setAttribute("aria-pressed", "true");
      tell("Recording …");
      return;
    }
    const bytes = await recorder.stop();
    $("record").textContent = "Record";
    $("record").setAttribute("aria-pressed", "false");
    await openBytes(bytes, "recording.webm");
  });

const live = new Live(worker, () => ({numCodebooks: numCodebooks(), rate: lossRate()}), (facts) => {
  $("live-latency").textContent = facts.latency === null ? "–" : `${Math.round(facts.latency)} ms`;
  $("live-kbps").textContent = `${kbpsOf(numCodebooks())} kbps`;
  $("live-wire").textContent = `${facts.wire.toFixed(1)} kbps`;
  $("live-lost").textContent = `${facts.lost} of ${facts.frames}`;
  $("live-load").textContent = `${Math.round(facts.load * 100)} % of a core`;
  $("live-hint").textContent =
    `${Math.round(facts.codec)} ms are the codec's (a frame, and the overlap of its windows), ${Math.round(facts.device)} ms ` +
    `the audio device's as the browser tells, the rest buffers and computing.`;
});
$("live").onclick = () =>
  job(async () => {
    if (live.running) live.stop();
    else await live.start(codec);
    $("live").textContent = live.running ? "Stop the microphone" : "Start the microphone";
    $("live").setAttribute("aria-pressed", live.running);
    $("live-facts").hidden = $("live-hint").hidden = !live.running;
  });

job(async () => {
  showRate();
  tell("Loading the codec …", 0);
  codec = await worker.load({}, (share) => tell("Loading the codec …", share));
  $("rate").max = codec.numCodebooks;
  $("about").append(
    ` Model ${codec.model} (${codec.weightsHash}), WebAssembly on ${codec.threads} thread${codec.threads > 1 ? "s" : ""}.`,
  );
  showRate();
  for (const id of ["choose", "sample", "rate", "loss"]) $(id).disabled = false;
  for (const id of ["record", "live"]) $(id).disabled = !navigator.mediaDevices?.getUserMedia;
  tell("Ready");
});

/** For tests: what the open recording has become. */
window.demo = {
  codes: () => worker.codes(),
  file: () => Array.from(packed.bytes),
  decoded: () => Array.from(packed.wave),
  withLoss: () => Array.from(packed.lost.wave),
  player,
};
