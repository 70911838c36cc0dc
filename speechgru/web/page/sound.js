// Recordings as samples: WAV read by hand, all else by the browser; one channel at the model's rate.

const PCM = 1, FLOAT = 3, EXTENSIBLE = 0xfffe;

/**
 * Reads a recording of any format that the browser decodes.
 *
 * @param {ArrayBuffer} bytes
 * @param {number} sampleRate Hz wanted
 * @returns {Promise<Float32Array>} the mean of all channels
 */
export async function readSound(bytes, sampleRate) {
  const wav = readWav(bytes);
  if (wav) return resample(wav.samples, wav.sampleRate, sampleRate);
  const context = new OfflineAudioContext(1, 1, sampleRate); // decodes to its own rate
  let buffer;
  try {
    buffer = await context.decodeAudioData(bytes);
  } catch {
    throw new Error('this browser cannot decode it; give a WAV, MP3, Ogg or FLAC recording');
  }
  const channels = Array.from({length: buffer.numberOfChannels}, (_, number) => buffer.getChannelData(number));
  return mixed(channels.length, buffer.length, (channel, sample) => channels[channel][sample]);
}

/** Samples and rate of a WAV file; null where it is none, or of a form that is not read here. */
export function readWav(bytes) {
  const view = new DataView(bytes), name = (at) => String.fromCharCode(...new Uint8Array(bytes, at, 4));
  if (bytes.byteLength < 12 || name(0) !== 'RIFF' || name(8) !== 'WAVE') return null;
  let format = null;
  for (let at = 12; at + 8 <= bytes.byteLength;) {
    const length = view.getUint32(at + 4, true), start = at + 8;
    if (name(at) === 'fmt ' && start + 16 <= bytes.byteLength) {
      const kind = view.getUint16(start, true);
      format = {
        kind: kind === EXTENSIBLE && length >= 26 ? view.getUint16(start + 24, true) : kind,
        numChannels: view.getUint16(start + 2, true),
        sampleRate: view.getUint32(start + 4, true),
        bits: view.getUint16(start + 14, true),
      };
    }
    if (name(at) === 'data' && format) {
      const read = readerOf(view, format);
      if (!read || !format.numChannels || !format.sampleRate) return null;
      const {numChannels, sampleRate, bits} = format, size = bits / 8;
      const count = Math.floor(Math.min(length, bytes.byteLength - start) / (size * numChannels));
      const place = (channel, sample) => start + (sample * numChannels + channel) * size;
      return {samples: mixed(numChannels, count, (channel, sample) => read(place(channel, sample))), sampleRate};
    }
    at = start + length + (length % 2);
  }
  return null;
}

function readerOf(view, {kind, bits}) {
  if (kind === FLOAT && bits === 32) return (at) => view.getFloat32(at, true);
  if (kind === FLOAT && bits === 64) return (at) => view.getFloat64(at, true);
  if (kind !== PCM) return null;
  if (bits === 8) return (at) => (view.getUint8(at) - 128) / 128;
  if (bits === 16) return (at) => view.getInt16(at, true) / 32768;
  if (bits === 24) return (at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 8388608;
  return bits === 32 ? (at) => view.getInt32(at, true) / 2147483648 : null;
}

function mixed(numChannels, length, value) {
  const samples = new Float32Array(length);
  for (let sample = 0; sample < length; sample++) {
    let sum = 0;
    for (let channel = 0; channel < numChannels; channel++) sum += value(channel, sample);
    samples[sample] = sum / numChannels;
  }
  return samples;
}

/** A WAV file of 16 bits, one channel. */
export function writeWav(samples, sampleRate) {
  const bytes = new ArrayBuffer(44 + 2 * samples.length), view = new DataView(bytes);
  const text = (at, value) => [...value].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  text(0, 'RIFF');
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, PCM, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * sampleRate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, 'data');
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, place) => {
    view.setInt16(44 + 2 * place, Math.max(-32768, Math.min(32767, Math.round(value * 32768))), true);
  });
  return bytes;
}

/** Zero crossings of the sinc on either side of a resampler's filter. */
const CROSSINGS = 32;

/** What of the lower rate's band passes; the rest is the filter's slope. */
const PASSED = 0.95;

/**
 * Another sample rate, for samples that keep coming: a sinc under a Kaiser window, one filter for each phase.
 *
 * All that `feed` and `finish` give is the recording at the new rate, from its first sample on.
 */
export class Resampler {
  constructor(sourceRate, sampleRate) {
    const divisor = greatestDivisor(sourceRate, sampleRate);
    this.up = sampleRate / divisor;
    this.down = sourceRate / divisor;
    const cutoff = PASSED * Math.min(1, sampleRate / sourceRate); // of the source's half rate
    this.half = Math.ceil(CROSSINGS / cutoff);
    this.phases = new Map();
    this.cutoff = cutoff;
    this.waiting = new Float32Array(this.half - 1); // zeros before the recording
    this.first = 1 - this.half; // the source's number of the first that waits
    this.numGiven = 0;
    this.numTaken = 0;
  }

  #filter(phase) {
    let filter = this.phases.get(phase);
    if (!filter) {
      const {half, cutoff, up} = this;
      filter = new Float64Array(2 * half);
      for (let tap = 0; tap < 2 * half; tap++) {
        const time = tap - half + 1 - phase / up, x = Math.PI * cutoff * time, inside = 1 - (time / half) ** 2;
        filter[tap] = inside <= 0 ? 0 : cutoff * (x ? Math.sin(x) / x : 1) * bessel(9 * Math.sqrt(inside)) / bessel(9);
      }
      this.phases.set(phase, filter);
    }
    return filter;
  }

  feed(samples) {
    const {up, down, half} = this;
    this.numTaken += samples.length;
    const all = new Float32Array(this.waiting.length + samples.length);
    all.set(this.waiting);
    all.set(samples, this.waiting.length);
    const end = this.first + all.length, given = [];
    for (; ; this.numGiven++) {
      const place = this.numGiven * down, middle = Math.floor(place / up), start = middle - half + 1;
      if (middle + half >= end) break;
      const filter = this.#filter(place % up), offset = start - this.first;
      let sum = 0;
      for (let tap = 0; tap < filter.length; tap++) sum += filter[tap] * all[offset + tap];
      given.push(sum);
    }
    const next = Math.floor((this.numGiven * down) / up) - half + 1;
    this.waiting = all.slice(Math.max(0, next - this.first));
    this.first = Math.max(this.first, next);
    return Float32Array.from(given);
  }

  finish() {
    const wanted = Math.round((this.numTaken * this.up) / this.down) - this.numGiven;
    return this.feed(new Float32Array(2 * this.half + this.down)).subarray(0, Math.max(0, wanted));
  }
}

/** A whole recording at another rate. */
export function resample(samples, sourceRate, sampleRate) {
  if (sourceRate === sampleRate) return samples;
  const resampler = new Resampler(sourceRate, sampleRate), begun = resampler.feed(samples), rest = resampler.finish();
  const all = new Float32Array(begun.length + rest.length);
  all.set(begun);
  all.set(rest, begun.length);
  return all;
}

function greatestDivisor(one, other) {
  return other ? greatestDivisor(other, one % other) : one;
}

/** The modified Bessel function of order 0, by its series. */
function bessel(x) {
  let sum = 1, term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
