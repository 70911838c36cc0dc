// Log-mel of samples, for the picture: the model has its own inside (speechgru/features/log_mel.py, mel.py).
import {numFrames} from './lengths.js';

const SLANEY_BREAK_HZ = 1000, SLANEY_HZ_PER_MEL = 200 / 3, SLANEY_LOG_STEP = Math.log(6.4) / 27;

function hzToMel(hz, scale) {
  if (scale === 'htk') return 2595 * Math.log10(1 + hz / 700);
  if (hz < SLANEY_BREAK_HZ) return hz / SLANEY_HZ_PER_MEL;
  return SLANEY_BREAK_HZ / SLANEY_HZ_PER_MEL + Math.log(hz / SLANEY_BREAK_HZ) / SLANEY_LOG_STEP;
}

function melToHz(mel, scale) {
  if (scale === 'htk') return 700 * (10 ** (mel / 2595) - 1);
  const broken = SLANEY_BREAK_HZ / SLANEY_HZ_PER_MEL;
  return mel < broken ? mel * SLANEY_HZ_PER_MEL : SLANEY_BREAK_HZ * Math.exp(SLANEY_LOG_STEP * (mel - broken));
}

export class LogMel {
  /** @param {object} features the front end's settings, as in the bundle @param {number} sampleRate Hz */
  constructor(features, sampleRate) {
    this.features = features;
    const {n_fft: size, frame_length: length, n_mels: count, mel_scale: scale = 'slaney'} = features;
    const before = Math.floor((size - length) / 2);
    this.window = new Float64Array(size);
    for (let n = 0; n < length; n++) this.window[before + n] = 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / length);
    const low = hzToMel(features.f_min_hz, scale), high = hzToMel(features.f_max_hz, scale);
    const edges = Array.from({length: count + 2}, (_, k) => melToHz(low + ((high - low) * k) / (count + 1), scale));
    this.filters = Array.from({length: count}, (_, mel) => {
      const [left, top, right] = edges.slice(mel, mel + 3), weights = [];
      for (let bin = 0; bin <= size / 2; bin++) {
        const hz = (bin * sampleRate) / size;
        const weight = Math.min((hz - left) / (top - left), (right - hz) / (right - top));
        if (weight > 0) weights.push([bin, (weight * 2) / (right - left)]);
      }
      return weights;
    });
    this.transform = new Transform(size);
  }

  numFrames(numSamples) {
    return numFrames(numSamples, this.features);
  }

  /** One frame of samples, zeros where it reaches beyond them. */
  frame(samples, number) {
    const {n_fft: size, hop_length: hop, center, preemphasis = 0, log_floor: floor = 1e-8} = this.features;
    const start = number * hop - (center ? Math.floor(size / 2) : 0), at = (n) => samples[n] ?? 0;
    const real = new Float64Array(size), imaginary = new Float64Array(size);
    for (let n = 0; n < size; n++) {
      const place = start + n;
      if (place >= 0 && place < samples.length) real[n] = this.window[n] * (at(place) - preemphasis * at(place - 1));
    }
    this.transform.run(real, imaginary);
    const values = real.map((value, bin) => value * value + imaginary[bin] * imaginary[bin]);
    const isMagnitude = this.features.spectrum === 'magnitude';
    return Float32Array.from(this.filters, (weights) => {
      const sum = weights.reduce((all, [bin, weight]) => (
        all + weight * (isMagnitude ? Math.sqrt(values[bin]) : values[bin])), 0);
      return Math.log(Math.max(sum, floor));
    });
  }
}

/** A Fourier transform in place; of a size that is no power of two by the definition. */
class Transform {
  constructor(size) {
    this.size = size;
    this.cos = Float64Array.from({length: size}, (_, n) => Math.cos((2 * Math.PI * n) / size));
    this.sin = Float64Array.from({length: size}, (_, n) => -Math.sin((2 * Math.PI * n) / size));
  }

  run(real, imaginary) {
    const {size, cos, sin} = this;
    if (size & (size - 1)) {
      const source = real.slice(); // it is real
      for (let bin = 0; bin < size; bin++) {
        let a = 0, b = 0;
        for (let n = 0; n < size; n++) {
          a += source[n] * cos[(bin * n) % size];
          b += source[n] * sin[(bin * n) % size];
        }
        real[bin] = a;
        imaginary[bin] = b;
      }
      return;
    }
    for (let n = 1, other = 0; n < size; n++) { // bits of the places turned round
      let bit = size >> 1;
      for (; other & bit; bit >>= 1) other ^= bit;
      other ^= bit;
      if (n < other) [real[n], real[other]] = [real[other], real[n]];
    }
    for (let length = 2; length <= size; length <<= 1) {
      const half = length >> 1, stride = size / length;
      for (let start = 0; start < size; start += length) {
        for (let k = 0; k < half; k++) {
          const one = start + k, two = one + half, c = cos[k * stride], s = sin[k * stride];
          const a = real[two] * c - imaginary[two] * s, b = real[two] * s + imaginary[two] * c;
          real[two] = real[one] - a;
          imaginary[two] = imaginary[one] - b;
          real[one] += a;
          imaginary[one] += b;
        }
      }
    }
  }
}
