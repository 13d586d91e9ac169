const FADE = 0.012; // seconds

/** Plays several versions of a sound at the same moment, of which one is heard. */
export class Player {
  #context = null;
  #voices = []; // {source, gain}
  #buffers = [];
  #offset = 0; // seconds into the sound where it stands or began to play
  #began = null; // context time, or null when it stands
  active = 1;
  duration = 0;

  constructor(onend) {
    this.onend = onend;
  }

  /** Take versions (Float32Array, or null) of one length. */
  load(waves, sampleRate) {
    const playing = this.playing;
    if (playing) this.pause();
    this.#context ??= new AudioContext();
    this.#buffers = waves.map((wave) => {
      if (!wave) return null;
      const buffer = this.#context.createBuffer(1, Math.max(1, wave.length), sampleRate);
      buffer.copyToChannel(wave, 0);
      return buffer;
    });
    this.duration = Math.max(0, ...waves.map((wave) => (wave ? wave.length / sampleRate : 0)));
    this.#offset = Math.min(this.#offset, this.duration);
    if (playing) this.play();
  }

  get playing() {
    return this.#began !== null;
  }

  get position() {
    const passed = this.playing ? this.#context.currentTime - this.#began : 0;
    return Math.min(this.#offset + Math.max(0, passed), this.duration);
  }

  play() {
    this.#context.resume();
    if (this.position >= this.duration - 0.01) this.#offset = 0;
    this.#began = this.#context.currentTime + 0.02;
    this.#voices = this.#buffers.map((buffer, i) => {
      if (!buffer) return null;
      const [source, gain] = [this.#context.createBufferSource(), this.#context.createGain()];
      source.buffer = buffer;
      gain.gain.value = i === this.active ? 1 : 0;
      source.connect(gain).connect(this.#context.destination);
      source.start(this.#began, this.#offset);
      return {source, gain};
    });
    const voice = this.#voices.find(Boolean);
    voice.source.onended = () => {
      if (this.#voices.includes(voice)) {
        this.pause();
        this.#offset = 0;
        this.onend();
      }
    };
  }

  pause() {
    this.#offset = this.position;
    this.#began = null;
    for (const voice of this.#voices.splice(0)) voice?.source.stop();
  }

  seek(seconds) {
    const playing = this.playing;
    if (playing) this.pause();
    this.#offset = Math.max(0, Math.min(seconds, this.duration));
    if (playing) this.play();
  }

  /** Hear another version, from this moment on. */
  choose(version) {
    this.active = version;
    const now = this.#context?.currentTime ?? 0;
    this.#voices.forEach((voice, i) => {
      if (!voice) return;
      voice.gain.gain.setValueAtTime(voice.gain.gain.value, now);
      voice.gain.gain.linearRampToValueAtTime(i === version ? 1 : 0, now + FADE);
    });
  }
}
