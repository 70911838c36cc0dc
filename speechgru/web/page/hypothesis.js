// What a decoder gives back: labels with their steps become words with times and confidence
// (speechgru/decoding/greedy.py, hypothesis.py, margin.py).
import {argmax} from './rows.js';

const LEAST = -100; // about the least log-probability of float32: of a step at which a path is impossible

/** The best path through steps that come in pieces: its runs, and no more of the log-probabilities. */
export class BestPath {
  constructor() {
    this.numSteps = 0;
    this.score = 0;
    this.labels = [];
    this.spans = []; // of each label its first step and the step after its last
    this.peaks = []; // of each label its highest log-probability
    this.blankSum = 0;
    this.last = 0; // the label of the step before
  }

  get blankMean() {
    return this.numSteps ? this.blankSum / this.numSteps : -Infinity;
  }

  /** Decodes one more step; gives its most probable label. */
  step(row) {
    const best = argmax(row), value = row[best];
    if (best !== 0) {
      if (best === this.last) {
        const run = this.labels.length - 1;
        this.spans[run][1] = this.numSteps + 1;
        this.peaks[run] = Math.max(this.peaks[run], value);
      } else {
        this.labels.push(best);
        this.spans.push([this.numSteps, this.numSteps + 1]);
        this.peaks.push(value);
      }
    }
    this.last = best;
    this.numSteps++;
    this.score += value;
    this.blankSum += row[0];
    return best;
  }

  hypothesis(how) {
    return dressLabels({...this, blankMean: this.blankMean}, how);
  }
}

const probability = (logValue) => Math.min(1, Math.exp(logValue));
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * Dresses labels and their spans, from whatever search, with words, times and confidence.
 *
 * `how` has `vocabulary`, `stepSeconds` and `startSeconds`, when the first step begins.
 */
export function dressLabels({labels, spans, peaks, blankMean, score, posterior = null}, how) {
  const {vocabulary, stepSeconds, startSeconds = 0} = how;
  const words = vocabulary.wordSpans(labels).map(([first, after]) => ({
    text: vocabulary.decode(labels.slice(first, after)),
    startSeconds: startSeconds + spans[first][0] * stepSeconds,
    endSeconds: startSeconds + spans[after - 1][1] * stepSeconds,
    confidence: probability(mean(peaks.slice(first, after))),
  }));
  return {
    text: words.map((word) => word.text).join(' '),
    words,
    confidence: probability(peaks.length ? mean(peaks) : blankMean),
    labels: [...labels],
    spans: spans.map((span) => [...span]),
    score,
    posterior,
    intent: null,
    slots: {},
    margin: null,
    accepted: null,
  };
}

/** What is given back where a constraint allowed no text at all. */
export function nothingAllowed() {
  return {text: '', words: [], confidence: 0, labels: [], spans: [], score: -Infinity, posterior: 0,
    intent: null, slots: {}, margin: null, accepted: null};
}

/** The highest log-probability of each label in its span. */
export function peaksOf(rows, labels, spans) {
  return labels.map((label, place) => {
    let peak = -Infinity;
    for (let step = spans[place][0]; step < spans[place][1]; step++) peak = Math.max(peak, rows.at(step, label));
    return peak;
  });
}

/** By how much a text that a constraint allows falls behind any text at all, for each of its labels. */
export function marginOf(rows, labels, spans) {
  const path = new Int32Array(rows.length);
  labels.forEach((label, place) => path.fill(label, ...spans[place]));
  let sum = 0;
  for (let step = 0; step < rows.length; step++) {
    // Steps at which both paths are silent do not count: a recording may begin and end with any length of noise.
    if (path[step] !== 0 || argmax(rows.row(step)) !== 0) sum += Math.max(rows.at(step, path[step]), LEAST);
  }
  return Math.min(0, sum / labels.length);
}
