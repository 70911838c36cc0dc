// Keyword spotting: how probable it is, step by step, that a keyword has just been said
// (speechgru/decoding/keywords.py, which says why).

const BLANK = 0;
const LEAST = 1e-30; // below, a probability is none, and as far from 1 it is certain

/** The paths of one keyword: state 2i is its label i, and 2i + 1 the blank behind it. */
class Paths {
  constructor(labels, windowSteps) {
    this.labels = labels.flatMap((label) => [label, BLANK]);
    this.mayJump = this.labels.map((label, state) => state > 1 && state % 2 === 0 && label !== this.labels[state - 2]);
    this.beginnings = Array.from({length: windowSteps}, () => new Float64Array(this.labels.length));
    this.firstBefore = 0; // the probability of the first label at the step before
  }

  /** The probability that the keyword has been said, after one more step. */
  advance(probs, step) {
    const newest = step % this.beginnings.length, last = this.labels.length - 1, first = probs[this.labels[0]];
    let said = 0;
    this.beginnings.forEach((states, beginning) => {
      if (beginning === newest) {
        // The oldest beginning leaves the window. The keyword begins here where its first label was not there before.
        states.fill(0);
        states[0] = first * (1 - this.firstBefore);
      } else {
        for (let state = last; state >= 0; state--) {
          let sum = states[state];
          if (state > 0) sum += states[state - 1];
          if (this.mayJump[state]) sum += states[state - 2];
          states[state] = sum * probs[this.labels[state]];
        }
      }
      said += states[last] + states[last - 1];
    });
    this.firstBefore = first;
    return said;
  }
}

/** Reports each keyword once when it is said, in steps that come piece by piece. */
export class KeywordSpotter {
  /**
   * @param {object} keywords `words` with `text`, `labels` and `threshold` (log-odds), `window_seconds`,
   *   `refractory_seconds` (site.json)
   * @param {number} numLabels columns of a row, the blank's too
   * @param {number} stepSeconds from one step to the next
   */
  constructor(keywords, numLabels, stepSeconds) {
    this.numLabels = numLabels;
    this.stepSeconds = stepSeconds;
    this.pauseSteps = Math.ceil(keywords.refractory_seconds / stepSeconds);
    const most = Math.max(...keywords.words.map(({labels}) => labels.length));
    const windowSteps = Math.max(most, Math.round(keywords.window_seconds / stepSeconds));
    this.words = keywords.words.map(({text, labels, threshold}) => (
      {text, threshold, paths: new Paths(labels, windowSteps), isReady: true, next: 0}));
    this.numSteps = 0;
  }

  /**
   * @param {Float32Array} values log-probabilities of whole steps
   * @returns {Array<{keyword: string, seconds: number, score: number}>} what was said, in the order of its times
   */
  feed(values) {
    const found = [];
    for (let at = 0; at < values.length; at += this.numLabels, this.numSteps++) {
      const probs = Float64Array.from(values.subarray(at, at + this.numLabels), Math.exp);
      const sum = Math.max(LEAST, probs.reduce((all, value) => all + value, 0));
      for (let label = 0; label < probs.length; label++) probs[label] /= sum;
      for (const word of this.words) {
        const said = Math.min(1, Math.max(LEAST, word.paths.advance(probs, this.numSteps)));
        const score = Math.log(said) - Math.log(Math.max(LEAST, 1 - said)), isOver = score >= word.threshold;
        if (isOver && word.isReady && this.numSteps >= word.next) {
          found.push({keyword: word.text, seconds: (this.numSteps + 1) * this.stepSeconds, score});
          word.next = this.numSteps + this.pauseSteps;
        }
        word.isReady = !isOver;
      }
    }
    return found;
  }
}
