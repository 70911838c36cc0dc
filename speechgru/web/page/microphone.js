// The microphone: one channel at the model's rate, block by block.
import {Resampler} from './sound.js';

/** Why this page cannot have a microphone, as a sentence that says what to do; empty where it can. */
export function whyNoMicrophone() {
  if (!globalThis.isSecureContext) {
    return 'Browsers give a page the microphone only over https or from localhost. Open it there; '
      + 'recordings can be recognised here all the same.';
  }
  if (!navigator.mediaDevices?.getUserMedia || !globalThis.AudioWorkletNode) {
    return 'This browser offers no microphone to pages. Update it or use another one; '
      + 'recordings can be recognised here all the same.';
  }
  return '';
}

const REASONS = {
  NotAllowedError: 'The microphone is blocked. Allow it for this page in the browser\'s address bar, then start again.',
  NotFoundError: 'No microphone was found. Plug one in, then start again; or choose a recording.',
  NotReadableError: 'Another program holds the microphone. Close it there, then start again.',
};

export class Microphone {
  /**
   * @param {number} sampleRate Hz of the samples wanted
   * @param {(samples: Float32Array) => void} onSamples called for each block
   * @param {(message: string) => void} onEnd called where the microphone ends by itself, such as unplugged
   */
  constructor(sampleRate, onSamples, onEnd) {
    Object.assign(this, {sampleRate, onSamples, onEnd});
  }

  /** Asks the person for the microphone and starts it; throws an error whose message says what to do. */
  async start() {
    const reason = whyNoMicrophone();
    if (reason) throw new Error(reason);
    // What clears up a call makes a recogniser's sound unlike what it was trained on.
    const wanted = {channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false};
    try {
      this.media = await navigator.mediaDevices.getUserMedia({audio: wanted});
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The microphone does not start (${error.message}).`);
    }
    try {
      await this.#open(new AudioContext({sampleRate: this.sampleRate})); // the browser resamples
    } catch {
      await this.#open(new AudioContext()); // a browser that does not: we do
    }
    this.media.getAudioTracks()[0].addEventListener('ended', () => {
      this.onEnd('The microphone ended: it was unplugged, or its permission taken back.');
    });
  }

  async #open(context) {
    try {
      await context.audioWorklet.addModule(new URL('worklet.js', import.meta.url));
      const resampler = context.sampleRate === this.sampleRate
        ? null : new Resampler(context.sampleRate, this.sampleRate);
      const tap = new AudioWorkletNode(context, 'speechgru-tap', {numberOfOutputs: 0});
      tap.port.onmessage = ({data}) => this.onSamples(resampler ? resampler.feed(data) : data);
      context.createMediaStreamSource(this.media).connect(tap);
      await context.resume();
      this.context = context;
    } catch (error) {
      await context.close();
      throw error;
    }
  }

  async stop() {
    this.media?.getTracks().forEach((track) => track.stop());
    if (this.context && this.context.state !== 'closed') await this.context.close();
  }
}
