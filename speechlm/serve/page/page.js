"use strict";

const $ = (id) => document.getElementById(id);
let recording = null; // a Blob
let recorder = null;

function say(text, error = false) {
  $("status").textContent = text;
  $("status").className = error ? "error" : "";
}

async function call(path, body) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (typeof body === "string") headers["Content-Type"] = "application/json";
  const response = await fetch(path, body === undefined ? { headers } : { method: "POST", headers, body });
  if (response.status === 401) $("token-section").hidden = false;
  if (!response.ok) {
    const problem = await response.json().catch(() => null);
    throw new Error(problem?.error?.message ?? `status ${response.status}`);
  }
  return response;
}

function form(fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  return data;
}

function show(title, text, blob) {
  const item = document.createElement("li");
  item.append(`${title}: ${text}`);
  if (blob) {
    const player = document.createElement("audio");
    player.controls = true;
    player.src = URL.createObjectURL(blob);
    item.append(player);
  }
  $("results").prepend(item);
}

async function run(title, task) {
  say(`${title} ...`);
  const start = performance.now();
  try {
    await task();
    say(`${title}: ${((performance.now() - start) / 1000).toFixed(2)} s`);
  } catch (error) {
    say(error.message, true);
  }
}

const tasks = {
  async transcribe() {
    const response = await call("/v1/audio/transcriptions", form({ file: recording }));
    show("Transcript", (await response.json()).text || "(no speech)");
  },
  async continue() {
    const fields = { file: recording, seconds: $("seconds").value, seed: Math.floor(Math.random() * 1e6),
      response_format: "flac" };
    show("Continuation", "", await (await call("/v1/continue", form(fields))).blob());
  },
  async convert() {
    const fields = { file: recording, voice: $("voice").value, response_format: "flac" };
    show(`In the voice ${$("voice").value}`, "", await (await call("/v1/convert", form(fields))).blob());
  },
  async codec() {
    const encoded = await call("/v1/codec/encode", form({ file: recording, kbps: $("kbps").value }));
    const file = await encoded.blob();
    const decoded = await call("/v1/codec/decode", form({ file, response_format: "flac" }));
    const rate = encoded.headers.get("X-Kbps");
    show("Compressed", `${file.size} bytes, ${rate} kbps`, await decoded.blob());
  },
};

function use(blob) {
  recording = blob;
  $("original").src = URL.createObjectURL(blob);
  $("original").hidden = false;
  for (const button of document.querySelectorAll("[data-task]")) button.disabled = false;
}

async function record() {
  if (recorder) {
    recorder.stop();
    return;
  }
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const parts = [];
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = () => {
    for (const track of stream.getTracks()) track.stop();
    use(new Blob(parts, { type: recorder.mimeType }));
    recorder = null;
    $("record").setAttribute("aria-pressed", "false");
    $("record").textContent = "Record";
  };
  recorder.start();
  $("record").setAttribute("aria-pressed", "true");
  $("record").textContent = "Stop";
}

async function loadVoices() {
  const { voices } = await (await call("/v1/voices")).json();
  $("voice").replaceChildren(...voices.map((name) => new Option(name)));
}

$("record").onclick = () => record().catch((error) => say(error.message, true));
$("file").onchange = (event) => event.target.files[0] && use(event.target.files[0]);
$("kbps").oninput = () => { $("kbps-value").textContent = `${$("kbps").value} kbps`; };
$("speech-form").onsubmit = (event) => {
  event.preventDefault();
  run("Speech", async () => {
    const body = { input: $("text").value, voice: $("voice").value || "default", response_format: "flac" };
    const response = await call("/v1/audio/speech", JSON.stringify(body));
    show("Speech", $("text").value, await response.blob());
  });
};
$("token-form").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  $("token-section").hidden = true;
  run("Token", loadVoices);
};
for (const button of document.querySelectorAll("[data-task]")) {
  button.onclick = () => run(button.textContent, tasks[button.dataset.task]);
}
loadVoices().catch((error) => say(error.message, true));
