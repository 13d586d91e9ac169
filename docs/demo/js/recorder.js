/** The microphone to the bytes of an audio file. */
export class Recorder {
  #recorder = null;
  #stream = null;
  #timer = 0;

  get running() {
    return this.#recorder !== null;
  }

  /** Record; `full` is called after so many seconds. */
  async start(full, seconds) {
    this.#stream = await microphone();
    this.#recorder = new MediaRecorder(this.#stream);
    this.parts = [];
    this.#recorder.ondataavailable = ({data}) => this.parts.push(data);
    this.#recorder.start();
    this.#timer = setTimeout(full, 1000 * seconds);
  }

  async stop() {
    clearTimeout(this.#timer);
    const recorder = this.#recorder;
    this.#recorder = null;
    await new Promise((resolve) => {
      recorder.onstop = resolve;
      recorder.stop();
    });
    for (const track of this.#stream.getTracks()) track.stop();
    return new Uint8Array(await new Blob(this.parts).arrayBuffer());
  }
}

/** A stream of the microphone, as it is: processing for calls would alter what the codec gets. */
export async function microphone() {
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: {channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false},
    });
  } catch (error) {
    throw new Error(`no microphone: ${error.message}`);
  }
}
