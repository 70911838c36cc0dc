// The prefix beam search of CTC: the most probable texts, not the most probable path (speechgru/decoding/search.py).

const NEGLIGIBLE = -40; // exp of it is below a double's rounding

/** log(e^one + e^other), from the larger of the two, so that nothing overflows; two impossible ones stay so. */
function logAdd(one, other) {
  if (one < other) [one, other] = [other, one];
  return other - one > NEGLIGIBLE ? one + Math.log1p(Math.exp(other - one)) : one;
}

/** The smallest of at most `size` numbers at hand: a heap whose first is the least. */
class Smallest {
  constructor(size, values) {
    this.size = size;
    this.heap = [...values].sort((one, other) => one - other);
  }

  get isFull() {
    return this.heap.length === this.size;
  }

  /** Takes another number in; where it is full, in place of the least. */
  add(value) {
    const heap = this.heap;
    let at;
    if (!this.isFull) {
      at = heap.length;
      heap.push(value);
      while (at) {
        const above = (at - 1) >> 1;
        if (heap[above] <= value) break;
        heap[at] = heap[above];
        at = above;
      }
    } else {
      at = 0;
      for (let below = 1; below < heap.length; below = 2 * at + 1) {
        if (below + 1 < heap.length && heap[below + 1] < heap[below]) below++;
        if (heap[below] >= value) break;
        heap[at] = heap[below];
        at = below;
      }
    }
    heap[at] = value;
  }
}

/** A constraint's answers, each asked for once; its states are numbered in the order in which they come up. */
class Asked {
  constructor(scorer) {
    this.scorer = scorer;
    this.numbers = new Map();
    this.states = [];
    this.moves = []; // of a state: label -> number of the state after it, -1 where the label is forbidden
    this.needs = []; // of a state: the steps to the nearest end after a blank, and after the last label itself
    this.mostNeeded = 0;
    this.numberOf(scorer.start());
  }

  numberOf(state) {
    const key = this.scorer.key(state);
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.states.length;
      this.numbers.set(key, number);
      this.states.push(state);
      this.moves.push(new Map());
      const needs = this.scorer.stepsNeeded(state);
      this.needs.push(needs);
      this.mostNeeded = Math.max(this.mostNeeded, ...needs);
    }
    return number;
  }

  extend(number, label) {
    let move = this.moves[number].get(label);
    if (move === undefined) {
      const state = this.scorer.extend(this.states[number], label);
      move = state === null ? -1 : this.numberOf(state);
      this.moves[number].set(label, move);
    }
    return move;
  }

  mayEnd(number) {
    return this.scorer.mayEnd(this.states[number]);
  }
}

/**
 * Finds the most probable label sequences of one utterance, whose steps may come in pieces.
 *
 * Each prefix is kept with the two sums over its paths that end with a blank and with its last label. A prefix gives
 * itself, and itself with one more label. Those with one more label meet nothing but a prefix of the beam, because they
 * have one mother; so the prefixes of the beam come first, and their ranks are a limit that the rest must reach.
 */
export class BeamSearch {
  /** @param {number} numColumns labels, blank included @param {object|null} scorer what forbids texts, or null */
  constructor({numColumns, beamWidth, scorer = null}) {
    this.numSteps = 0;
    this.numColumns = numColumns;
    this.beamWidth = beamWidth;
    this.asked = scorer && new Asked(scorer);
    this.isConstrained = scorer !== null;
    // A prefix is the number of a node in a tree; the key of an edge is node * numColumns + label.
    this.mother = [-1];
    this.labelOf = [-1];
    this.stateOf = [0];
    this.edges = new Map();
    // The best first; `total`, `blanked` and `labelled` are logarithms of sums: of all paths, and of those that end so.
    this.beam = [{total: 0, blanked: 0, labelled: -Infinity, node: 0}];
    // The steps at which it would matter that the utterance ends here, each with the beam before it.
    this.remembered = [];
  }

  /**
   * Searches one more step.
   *
   * @param {Float32Array} row log-probabilities
   * @param {number} stepsLeft how many steps will follow; Infinity where nobody knows: then `rewind` before `ends`
   */
  step(row, stepsLeft) {
    const {asked, labelOf, mother, stateOf, numColumns, beamWidth} = this;
    const before = this.beam, order = labelsByProbability(row);
    if (!order.length) {
      this.beam = before.map(({total, node}) => (
        {total: total + row[0], blanked: total + row[0], labelled: -Infinity, node}));
    } else {
      const entryOf = new Map(before.map((entry) => [entry.node, entry]));
      const entries = [];
      // 1. The prefixes of the beam stay the same texts: a blank follows, or the last label with none between.
      for (const entry of before) {
        const node = entry.node, last = labelOf[node];
        let blanked = entry.total + row[0], labelled = entry.labelled;
        if (last >= 0) {
          labelled += row[last];
          const shorter = entryOf.get(mother[node]);
          if (shorter) { // the mother spells the last label at this very step
            labelled = logAdd(labelled, (labelOf[shorter.node] === last ? shorter.blanked : shorter.total) + row[last]);
          }
        }
        if (asked) {
          // A prefix that cannot be completed in the steps left would take a better one's place.
          const [afterBlank, afterLabel] = asked.needs[stateOf[node]];
          if (afterBlank > stepsLeft) blanked = -Infinity;
          if (afterLabel > stepsLeft) labelled = -Infinity;
        }
        const total = logAdd(blanked, labelled);
        if (total > -Infinity) entries.push({total, blanked, labelled, node});
      }
      // 2. The prefixes with one label more, from the best mother and the most probable label on: both loops end at the
      // first that cannot enter the beam, because neither can anything after it.
      const best = new Smallest(beamWidth, entries.map((entry) => entry.total));
      let limit = best.isFull ? best.heap[0] : -Number.MAX_VALUE;
      for (const entry of before) {
        if (entry.total + row[order[0]] < limit) break;
        const node = entry.node, last = labelOf[node];
        for (const label of order) {
          if (entry.total + row[label] < limit) break;
          const known = this.edges.get(node * numColumns + label);
          if (known !== undefined && entryOf.has(known)) continue; // it is in the beam: done above
          if (asked) {
            const state = asked.extend(stateOf[node], label);
            if (state < 0 || asked.needs[state][1] > stepsLeft) continue;
          }
          // The same label again is a new one only after a blank; any other may follow all the paths.
          const spelt = (label === last ? entry.blanked : entry.total) + row[label];
          if (spelt >= limit) {
            entries.push({total: spelt, blanked: -Infinity, labelled: spelt, node: -1, above: node, label});
            best.add(spelt);
            if (best.isFull && best.heap[0] > limit) limit = best.heap[0];
          }
        }
      }
      // 3. Only what survives gets a node in the tree: most candidates are dropped here.
      entries.sort((one, other) => other.total - one.total); // stable: what was in the beam before comes first
      entries.length = Math.min(entries.length, beamWidth);
      this.beam = entries.map((entry) => (entry.node >= 0 ? entry : this.#grown(entry)));
      // Only the last steps, no more than a state needs that came up, can hold what cannot end in time.
      if (stepsLeft === Infinity && asked && asked.mostNeeded) {
        this.remembered.push([this.numSteps, asked.mostNeeded, before]);
        while (this.remembered[0][0] + this.remembered[0][1] <= this.numSteps) this.remembered.shift();
      }
    }
    this.numSteps++;
  }

  #grown({total, blanked, labelled, above, label}) {
    const key = above * this.numColumns + label;
    let node = this.edges.get(key);
    if (node === undefined) {
      node = this.mother.length;
      this.edges.set(key, node);
      this.mother.push(above);
      this.labelOf.push(label);
      this.stateOf.push(this.asked ? this.asked.extend(this.stateOf[above], label) : 0);
    }
    return {total, blanked, labelled, node};
  }

  /** Goes back to the first step at which it matters where the utterance ends; gives how many steps stand. */
  rewind() {
    if (this.remembered.length) {
      [this.numSteps, , this.beam] = this.remembered[0];
      this.remembered = [];
    }
    return this.numSteps;
  }

  /** The scores and labels of all prefixes that may end here, the best first. */
  ends() {
    return this.beam
      .filter(({total, node}) => total > -Infinity && (!this.asked || this.asked.mayEnd(this.stateOf[node])))
      .map(({total, node}) => ({score: total, labels: this.#labels(node)}))
      .sort((one, other) => other.score - one.score || compareLabels(one.labels, other.labels));
  }

  /** The prefix that is the most probable to be gone on with, whether it may end or not; null where none is. */
  leader() {
    const highest = this.beam.length ? this.beam[0].total : -Infinity;
    if (highest === -Infinity) return null;
    const labels = this.beam.filter(({total}) => total === highest).map(({node}) => this.#labels(node))
      .sort(compareLabels)[0];
    return {score: highest, labels, posterior: 1 / shares(this.beam.map(({total}) => total), highest)};
  }

  #labels(node) {
    const labels = [];
    for (; node; node = this.mother[node]) labels.push(this.labelOf[node]);
    return labels.reverse();
  }
}

/** The sum of e^score over all scores, with the best one counted as 1. */
export function shares(scores, best) {
  return scores.reduce((sum, score) => sum + Math.exp(score - best), 0);
}

function compareLabels(one, other) {
  for (let place = 0; place < Math.min(one.length, other.length); place++) {
    if (one[place] !== other[place]) return one[place] - other[place];
  }
  return one.length - other.length;
}

/** The possible labels without the blank, the most probable first, equal ones by label. */
function labelsByProbability(row) {
  const labels = [];
  for (let label = 1; label < row.length; label++) if (row[label] > -Infinity) labels.push(label);
  return labels.sort((one, other) => row[other] - row[one] || one - other);
}
