// The last seconds as a picture: log-mel above, the words found, the probability of each label below.
import {LogMel} from './log_mel.js';

const SECONDS = 6; // shown
const LEAST = Math.log(0.02); // a label is drawn where its log-probability is at least this
const NUM_SERIES = 6;

/** Dark to bright, by way of red: red, green and blue at equal distances. */
const COLOURS = [[6, 5, 24], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];

/** The same in 256 steps. */
const PALETTE = Array.from({length: 256}, (_, step) => {
  const place = (step / 255) * (COLOURS.length - 1), lower = Math.min(Math.floor(place), COLOURS.length - 2);
  return COLOURS[lower].map((low, k) => low + (COLOURS[lower + 1][k] - low) * (place - lower));
});

/** Nats of log-mel from dark to bright, at least: silence is dark. */
const LEAST_RANGE = 9;

/** Milliseconds from one picture to the next. */
const PERIOD = 60;

/** Samples that keep coming, the last of them kept. */
class Recent {
  constructor(capacity) {
    this.samples = new Float32Array(capacity);
    this.first = 0; // the number of the first kept
    this.count = 0;
  }

  get end() {
    return this.first + this.count;
  }

  append(samples) {
    const all = samples.subarray(Math.max(0, samples.length - this.samples.length));
    const dropped = Math.max(0, this.count + all.length - this.samples.length);
    this.samples.copyWithin(0, dropped, this.count);
    this.samples.set(all, this.count - dropped);
    this.first += dropped + samples.length - all.length;
    this.count += all.length - dropped;
  }
}

export class Picture {
  constructor(canvas, recognizer) {
    const {site, vocabulary} = recognizer;
    this.canvas = canvas;
    this.image = document.createElement('canvas');
    this.vocabulary = vocabulary;
    this.rate = site.sample_rate;
    this.logMel = new LogMel(site.features, this.rate);
    this.hop = site.features.hop_length;
    this.stepSamples = Math.round(site.step_seconds * this.rate);
    this.width = vocabulary.numColumns;
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#plan());
    new ResizeObserver(() => this.#plan()).observe(canvas);
    this.clear();
  }

  clear() {
    this.recent = new Recent((SECONDS + 2) * this.rate);
    this.frames = new Map(); // number -> values
    this.nextFrame = 0;
    this.steps = new Map(); // the first sample of a step -> its log-probabilities
    this.words = [];
    this.#plan();
  }

  /** Sound as it comes. */
  addSound(samples) {
    this.recent.append(samples);
    const {n_fft: size, center} = this.logMel.features, reach = center ? size / 2 : size;
    const done = Math.floor((this.recent.end - reach) / this.hop);
    const oldest = this.recent.first ? Math.ceil((this.recent.first + reach) / this.hop) : 0; // of what is kept
    // The recording as if it began where the kept samples do, at a whole number of hops.
    const skipped = Math.ceil(this.recent.first / this.hop);
    const kept = this.recent.samples.subarray(skipped * this.hop - this.recent.first, this.recent.count);
    for (this.nextFrame = Math.max(this.nextFrame, oldest); this.nextFrame <= done; this.nextFrame++) {
      this.frames.set(this.nextFrame, this.logMel.frame(kept, this.nextFrame - skipped));
    }
    for (const number of this.frames.keys()) {
      if (number * this.hop >= this.recent.end - SECONDS * this.rate) break;
      this.frames.delete(number);
    }
    this.#plan();
  }

  /** Log-probabilities, one flat array, that begin at a sample; later ones replace earlier ones. */
  addRows(values, firstSample) {
    for (let step = 0; (step + 1) * this.width <= values.length; step++) {
      const row = values.slice(step * this.width, (step + 1) * this.width);
      this.steps.set(firstSample + step * this.stepSamples, row);
    }
    for (const place of this.steps.keys()) {
      if (place < this.recent.end - SECONDS * this.rate) this.steps.delete(place);
    }
    this.#plan();
  }

  /** The words found so far, of all utterances. */
  setWords(words) {
    this.words = words;
    this.#plan();
  }

  #plan() {
    if (this.planned) return;
    this.planned = true;
    const wait = Math.max(0, (this.drawn ?? -Infinity) + PERIOD - performance.now());
    setTimeout(() => requestAnimationFrame(() => {
      this.planned = false;
      this.#draw();
      this.drawn = performance.now();
    }), wait);
  }

  #draw() {
    const ratio = devicePixelRatio || 1, {clientWidth: width, clientHeight: height} = this.canvas;
    if (!width) return;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const context = this.canvas.getContext('2d');
    context.scale(ratio, ratio);
    const styles = getComputedStyle(this.canvas), colour = (name) => styles.getPropertyValue(`--${name}`).trim();
    const seconds = width < 600 ? SECONDS / 2 : SECONDS;
    const end = Math.max(this.recent.end, seconds * this.rate), start = end - seconds * this.rate;
    const x = (sample) => ((sample - start) / (end - start)) * width;
    const melBottom = height * 0.45, words = height * 0.56, bottom = height - 20;
    this.#drawLogMel(context, x, melBottom);
    this.#drawAxis(context, start, end, x, {top: words, bottom, width}, colour);
    context.save();
    context.beginPath();
    context.rect(0, 0, width, height);
    context.clip();
    this.#drawLabels(context, start, x, {top: words + 4, bottom}, colour);
    this.#drawWords(context, x, {top: melBottom, base: words - 7, bottom}, colour);
    context.restore();
  }

  #drawLogMel(context, x, bottom) {
    context.fillStyle = `rgb(${COLOURS[0]})`;
    context.fillRect(0, 0, context.canvas.clientWidth, bottom);
    const frames = [...this.frames];
    if (!frames.length) return;
    const [low, high] = this.#range(frames);
    const count = frames[0][1].length, image = new ImageData(frames.length, count);
    frames.forEach(([, values], column) => {
      for (let mel = 0; mel < count; mel++) {
        const at = 4 * ((count - 1 - mel) * frames.length + column);
        const value = Math.round((255 * (values[mel] - low)) / (high - low));
        const colour = PALETTE[Math.min(Math.max(value, 0), 255)];
        [image.data[at], image.data[at + 1], image.data[at + 2]] = colour;
        image.data[at + 3] = 255;
      }
    });
    this.image.width = frames.length;
    this.image.height = count;
    this.image.getContext('2d').putImageData(image, 0, 0);
    const left = x((frames[0][0] - 0.5) * this.hop), right = x((frames.at(-1)[0] + 0.5) * this.hop);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.image, left, 0, right - left, bottom);
  }

  /** The log-mel that is shown darkest and brightest: what all but a few values of some frames lie between. */
  #range(frames) {
    const stride = Math.max(1, Math.floor(frames.length / 60));
    const values = frames.filter((_, k) => k % stride === 0).flatMap(([, each]) => [...each]);
    values.sort((one, other) => one - other);
    const low = values[Math.floor(0.1 * values.length)], high = values[Math.floor(0.995 * (values.length - 1))];
    return [low, Math.max(high, low + LEAST_RANGE)];
  }

  #drawAxis(context, start, end, x, {top, bottom, width}, colour) {
    context.strokeStyle = colour('rule');
    context.fillStyle = colour('muted');
    context.font = '12px system-ui, sans-serif';
    context.lineWidth = 1;
    for (const y of [top + 4, (top + 4 + bottom) / 2, bottom]) {
      context.beginPath();
      context.moveTo(0, y);
      context.lineTo(width, y);
      context.stroke();
    }
    context.textAlign = 'center';
    for (let second = Math.ceil(start / this.rate); second * this.rate <= end; second++) {
      const place = x(second * this.rate);
      if (place > 12 && place < width - 12) context.fillText(`${second} s`, place, bottom + 15);
    }
  }

  #drawLabels(context, start, x, {top, bottom}, colour) {
    const steps = [...this.steps].filter(([place]) => place >= start - this.stepSamples)
      .sort(([one], [other]) => one - other);
    const y = (value) => bottom - (bottom - top) * Math.exp(value);
    const middle = (place) => x(place + this.stepSamples / 2);
    const line = (label, first, last, isBlank) => {
      context.beginPath();
      for (let k = first; k <= last; k++) {
        const [place, row] = steps[k];
        context[k === first ? 'moveTo' : 'lineTo'](middle(place), y(row[label]));
      }
      if (!isBlank) {
        context.globalAlpha = 0.22;
        context.fill();
        context.globalAlpha = 1;
      }
      context.stroke();
    };
    context.lineWidth = 1.5;
    context.setLineDash([3, 3]);
    context.strokeStyle = colour('blank');
    if (steps.length) line(0, 0, steps.length - 1, true);
    context.setLineDash([]);
    for (let label = 1; label < this.width; label++) {
      for (let k = 0; k < steps.length; k++) {
        if (steps[k][1][label] < LEAST) continue;
        const first = Math.max(0, k - 1);
        while (k < steps.length && steps[k][1][label] >= LEAST) k++;
        context.strokeStyle = context.fillStyle = colour(`series-${1 + (label % NUM_SERIES)}`);
        line(label, first, Math.min(k, steps.length - 1), false);
      }
    }
  }

  #drawWords(context, x, {top, base, bottom}, colour) {
    context.textAlign = 'center';
    context.font = '600 13px system-ui, sans-serif';
    let free = -Infinity;
    for (const {text, startSeconds, endSeconds} of this.words) {
      const left = x(startSeconds * this.rate), right = x(endSeconds * this.rate);
      if (right < 0) continue;
      context.fillStyle = colour('band');
      context.globalAlpha = 0.07;
      context.fillRect(left, top, right - left, bottom - top);
      context.globalAlpha = 1;
      context.fillRect(left, top, right - left, 2);
      const width = context.measureText(text).width, middle = Math.max((left + right) / 2, free + width / 2 + 4);
      context.fillText(text, middle, base);
      free = middle + width / 2;
    }
  }
}
