// Decoding one utterance whose log-probabilities come in pieces (speechgru/decoding/stream.py, beam.py, endpoint.py).
import {align} from './alignment.js';
import {BestPath, dressLabels, marginOf, nothingAllowed, peaksOf} from './hypothesis.js';
import {Rows} from './rows.js';
import {BeamSearch, shares} from './search.js';

const ROUNDING_STEPS = 1e-6; // 0.8 s are 20 steps of 0.04 s, however the quotient is rounded

/** When an utterance is over: whichever of three limits is met first, in seconds; null is no limit. */
export class EndpointRule {
  constructor({trailingSeconds = 0.8, startSeconds = 5, maxSeconds = 30} = {}) {
    Object.assign(this, {trailingSeconds, startSeconds, maxSeconds});
  }

  isOver({numSteps, trailingBlankSteps, hasLabel, stepSeconds}) {
    const steps = (seconds) => (
      seconds === null ? Infinity : Math.max(1, Math.ceil(seconds / stepSeconds - ROUNDING_STEPS)));
    const silence = steps(hasLabel ? this.trailingSeconds : this.startSeconds);
    return trailingBlankSteps >= silence || numSteps >= steps(this.maxSeconds);
  }
}

/**
 * Decodes one utterance: greedily, or with a beam that a grammar constrains.
 *
 * What `finish` gives is what all steps at once give, however they were cut.
 */
export class DecoderStream {
  /**
   * @param {Vocabulary} vocabulary
   * @param {number} stepSeconds seconds from one step to the next
   * @param {number} startSeconds when the first step begins; added to the times of words
   * @param {number} beamWidth 1 is greedy
   * @param {Grammar|null} grammar whose sentences alone are allowed, and silence; needs a beam
   * @param {number|null} threshold the least margin of a text that is accepted; null says of none whether it is
   */
  constructor({vocabulary, stepSeconds, startSeconds = 0, beamWidth = 1, grammar = null, threshold = null}) {
    this.how = {vocabulary, stepSeconds, startSeconds};
    this.grammar = grammar;
    this.threshold = threshold;
    this.bestPath = new BestPath();
    this.rows = new Rows(vocabulary.numColumns);
    this.labelEnd = 0; // the step after the last that was not silent; 0 where there was none
    this.finished = null;
    this.shown = {labels: [], spans: []}; // of the last partial result
    this.search = null;
    if (beamWidth > 1) {
      this.search = new BeamSearch({numColumns: vocabulary.numColumns, beamWidth, scorer: grammar && grammar.scorer});
    }
  }

  get numSteps() {
    return this.bestPath.numSteps;
  }

  /** How many silent steps came last: those whose most probable label is the blank or a space. */
  get trailingBlankSteps() {
    return this.numSteps - this.labelEnd;
  }

  get hasLabel() {
    return this.labelEnd > 0;
  }

  /** Decodes some more steps: whole rows in one flat array. */
  feed(values) {
    this.feedUntil(values, null);
  }

  /**
   * Decodes some more steps, but not past the first at whose end the utterance is over.
   *
   * @returns {number|null} how many were decoded where it is over after the last of these; null where it continues
   */
  feedUntil(values, rule) {
    const rows = new Rows(this.rows.width, values);
    for (let step = 0; step < rows.length; step++) {
      const row = rows.row(step);
      this.#step(row);
      const {numSteps, trailingBlankSteps, hasLabel} = this;
      if (rule && rule.isOver({numSteps, trailingBlankSteps, hasLabel, stepSeconds: this.how.stepSeconds})) {
        return step + 1;
      }
    }
    return null;
  }

  #step(row) {
    const label = this.bestPath.step(row);
    if (label !== 0 && label !== this.how.vocabulary.space) this.labelEnd = this.numSteps;
    this.rows.append(row);
    if (this.search) this.search.step(row, Infinity);
  }

  /** What is believed so far: its last word may still be on the way, and later steps may change what it says. */
  partial() {
    if (this.finished) return this.finished;
    if (!this.search) return this.bestPath.hypothesis(this.how);
    const leader = this.search.leader();
    return leader ? this.#dressed(leader, this.#alignNew(leader.labels)) : nothingAllowed();
  }

  /** Ends the utterance; gives the best hypothesis. */
  finish() {
    if (this.finished) return this.finished;
    if (!this.search) return (this.finished = this.bestPath.hypothesis(this.how));
    for (let step = this.search.rewind(); step < this.rows.length; step++) {
      this.search.step(this.rows.row(step), this.rows.length - 1 - step);
    }
    const ends = this.how.vocabulary.unit === 'subword' ? this.#together(this.search.ends()) : this.search.ends();
    return (this.finished = ends.length ? this.#best(ends) : {...nothingAllowed(), accepted: this.#accepts(null)});
  }

  #best(ends) {
    const {score, labels} = ends[0];
    const posterior = 1 / shares(ends.map((end) => end.score), score);
    const isBestPath = labels.join() === this.bestPath.labels.join();
    const spans = isBestPath ? this.bestPath.spans : align(this.rows, labels);
    const found = this.#dressed({score, labels, posterior}, spans);
    if (this.search.isConstrained) {
      if (found.words.length) found.margin = marginOf(this.rows, labels, spans);
      found.accepted = this.#accepts(found.margin);
      Object.assign(found, this.grammar.parser.first(found.text));
    }
    return found;
  }

  /** The ends by their texts: of each the sum of all exponentiated scores, and the labels of the best. */
  #together(ends) {
    const byText = new Map();
    for (const end of ends) { // the best first
      const text = this.how.vocabulary.decode(end.labels);
      byText.set(text, [...(byText.get(text) ?? []), end]);
    }
    const found = [...byText.values()].map((same) => {
      const [{score, labels}] = same;
      return {score: score + Math.log(shares(same.map((each) => each.score), score)), labels};
    });
    return found.sort((one, other) => other.score - one.score);
  }

  #accepts(margin) {
    return this.threshold === null ? null : margin !== null && margin >= this.threshold;
  }

  #dressed({score, labels, posterior}, spans) {
    this.shown = {labels, spans};
    const {blankMean} = this.bestPath;
    const peaks = peaksOf(this.rows, labels, spans);
    return dressLabels({labels, spans, peaks, blankMean, score, posterior}, this.how);
  }

  /** The spans of labels: those that the last partial result had too stay, all but the last, the rest is aligned. */
  #alignNew(labels) {
    if (labels.join() === this.bestPath.labels.join()) return this.bestPath.spans.map((span) => [...span]);
    const {labels: shown, spans} = this.shown;
    let kept = 0;
    while (kept < Math.min(labels.length, shown.length) && labels[kept] === shown[kept]) kept++;
    kept = Math.max(0, kept - 1);
    while (kept && labels[kept] === labels[kept - 1]) kept--; // the blank between them would be nobody's
    const rest = align(this.rows, labels.slice(kept), kept ? spans[kept - 1][1] : 0);
    return rest ? [...spans.slice(0, kept), ...rest] : align(this.rows, labels);
  }
}

/** Decodes all steps of an utterance at once. */
export function decode(values, how) {
  const decoder = new DecoderStream(how);
  decoder.feed(values);
  return decoder.finish();
}
