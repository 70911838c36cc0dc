// A grammar as a constraint of the search, and what its sentences mean
// (speechgru/decoding/grammar.py, speechgru/grammar/parsing.py).
import {APOSTROPHE, FRESH, GAP, SentenceGraph, WORD, isAlphanumeric, stepsAfter} from './graph.js';

const NEVER = 1e9; // steps to an end that there is not

/** Forbids every prefix that begins no sentence, and every end that is not the end of one; silence is allowed. */
export class GrammarScorer {
  /** @param {SentenceGraph} graph @param {Vocabulary} vocabulary */
  constructor(graph, vocabulary) {
    this.graph = graph;
    this.unit = vocabulary.unit;
    this.entries = [null, ...vocabulary.written]; // what each column writes
    // Of a vocabulary of words or subwords: what may follow (the places by label), and the fewest steps to an end.
    this.following = new Map();
    this.needs = new Map();
  }

  // A state: the label before, 0 at the start, and the places of the graph.
  start() {
    return {label: 0, places: this.graph.start};
  }

  key({label, places}) {
    return `${label};${places}`;
  }

  /** The state after one more label; null where the label is forbidden. */
  extend({label: before, places}, label) {
    const after = this.unit === 'character'
      ? this.graph.moves(places).get(this.entries[label]) : this.#labelsAfter(places, before === 0).get(label);
    return after === undefined ? null : {label, places: after};
  }

  mayEnd({places}) {
    return places === this.graph.start || this.graph.ends(places); // of subwords a lone space is silence too
  }

  /** The fewest steps to an end: after a blank, and after the last label itself. */
  stepsNeeded({label, places}) {
    if (places === this.graph.start) return [0, 0];
    if (this.unit !== 'character') {
      const {steps, firsts} = this.#needOfLabels(places);
      return [steps, steps + (firsts.size === 1 && firsts.has(label))];
    }
    const need = this.graph.need(places);
    return [need.steps, stepsAfter(need, this.entries[label])];
  }

  /**
   * The labels that may come next, each with the places after it; a word is over there. The first of all stands at the
   * beginning, without a space before it.
   */
  #labelsAfter(places, isFirst) {
    const key = isFirst ? '' : places;
    let found = this.following.get(key);
    if (found === undefined) {
      found = new Map();
      for (let label = 1; label < this.entries.length; label++) {
        const after = this.unit === 'word'
          ? this.#afterWord(places, label, isFirst) : this.#afterPiece(places, label, isFirst);
        if (after !== undefined) found.set(label, after);
      }
      this.following.set(key, found);
    }
    return found;
  }

  #afterWord(places, label, isFirst) {
    const before = isFirst ? places : this.graph.moves(places).get(' ');
    const after = before && this.#spelt(before, this.entries[label]);
    return after && (this.graph.ends(after) || this.graph.moves(after).has(' ')) ? after : undefined;
  }

  #afterPiece(places, label, isFirst) {
    const piece = this.entries[label];
    if (isFirst && piece[0] !== ' ') return undefined;
    return this.#spelt(places, isFirst ? piece.slice(1) : piece);
  }

  #spelt(places, word) {
    for (const character of word) {
      places = this.graph.moves(places).get(character);
      if (places === undefined) break;
    }
    return places;
  }

  #needOfLabels(places) {
    if (this.graph.ends(places)) return {steps: 0, firsts: new Set()};
    let found = this.needs.get(places);
    if (found === undefined) {
      const firsts = new Map();
      for (const [label, after] of this.#labelsAfter(places, false)) {
        const {steps, firsts: next} = this.#needOfLabels(after);
        firsts.set(label, 1 + steps + (next.size === 1 && next.has(label)));
      }
      const steps = Math.min(NEVER, ...firsts.values());
      found = {steps, firsts: new Set([...firsts.keys()].filter((label) => firsts.get(label) === steps))};
      this.needs.set(places, found);
    }
    return found;
  }
}

/** Reads texts: the intent and the slots of the first reading that a grammar has for one. */
export class Parser {
  /** @param {object} record `nodes`, `pieces` (each text node by the text rules), `intents`, `skip_words`, `graph` */
  constructor({nodes, pieces, intents, skip_words: skipWords, graph}) {
    this.nodes = nodes;
    this.intents = intents;
    this.skipWords = skipWords;
    this.apostrophe = graph.apostrophe;
    // A piece as white space, apostrophes at which it must be asked what follows, and what stands between these.
    const cut = this.apostrophe ? /([ '])/ : /( )/;
    this.parts = pieces.map((piece) => (piece === null ? [] : piece.split(cut).filter(Boolean)));
  }

  /** `{intent, slots}` of a text that went through the text rules; null where it has no reading. */
  first(text) {
    if (!text) return null;
    const matching = new Matching(this, text);
    const befores = ['', ...this.skipWords.map((word) => `${word} `).filter((each) => text.startsWith(each))];
    const afters = ['', ...this.skipWords.map((word) => ` ${word}`).filter((each) => text.endsWith(each))];
    for (const {name, blocks} of this.intents) {
      for (const block of blocks) {
        for (const root of block.sentences) {
          for (const before of befores) {
            for (const after of afters) {
              const end = text.length - after.length;
              if (end <= before.length) continue;
              const found = matching.of(root, before.length, FRESH).find((match) => match.end === end);
              if (found) return {intent: name, slots: {...block.slots, ...Object.fromEntries(found.slots)}};
            }
          }
        }
      }
    }
    return null;
  }
}

/**
 * Where each node can match in one text; every answer is computed once.
 *
 * The matches of a node from one place are kept in the order in which a reader who tries alternatives from left to
 * right finds them, the first for each end: so the first match to the end of the text is the first of all readings.
 */
class Matching {
  constructor(parser, text) {
    this.parser = parser;
    this.text = text;
    this.known = new Map();
  }

  of(place, start, mode) {
    const key = `${place},${start},${mode}`;
    let found = this.known.get(key);
    if (found === undefined) {
      const byEnd = new Map();
      for (const match of this.#all(place, start, mode)) keepFirst(byEnd, match);
      found = [...byEnd.values()];
      this.known.set(key, found);
    }
    return found;
  }

  *#all(place, start, mode) {
    const node = this.parser.nodes[place];
    if (typeof node === 'string') {
      yield* this.#literal(place, node, start, mode);
      return;
    }
    const [kind, ...items] = node;
    const here = {end: start, mode, slots: [], written: ''};
    if (kind === 'slot') {
      const [name, item, value] = items;
      for (const match of this.of(item, start, mode)) {
        const said = value ?? match.written.split(/\s+/).filter(Boolean).join(' ');
        yield {...match, slots: [...match.slots, [name, said]]};
      }
    } else if (kind === 'series') {
      yield* this.#series(items, here);
    } else if (kind === 'permutation') {
      yield* this.#permuted(items, here);
    } else {
      for (const item of new Set(items)) yield* this.of(item, start, mode);
      if (kind === 'optional') yield here;
    }
  }

  *#literal(place, written, start, mode) {
    for (let part of this.parser.parts[place]) {
      if (part === ' ') {
        mode = mode === FRESH ? FRESH : GAP;
      } else if (part === this.parser.apostrophe) {
        mode = mode === WORD ? APOSTROPHE : mode === APOSTROPHE ? GAP : mode; // two in a row are no inner ones
      } else {
        if (mode === GAP) part = ` ${part}`;
        else if (mode === APOSTROPHE) part = (isAlphanumeric(part) ? "'" : ' ') + part;
        if (!this.text.startsWith(part, start)) return;
        start += part.length;
        mode = WORD;
      }
    }
    yield {end: start, mode, slots: [], written};
  }

  #series(items, soFar) {
    // Level by level, not branch by branch: two ways to the same place go on together, the earlier one's slots kept.
    let reached = [soFar];
    for (const item of items) {
      const following = new Map();
      for (const one of reached) {
        for (const {end, mode, slots, written} of this.of(item, one.end, one.mode)) {
          keepFirst(following, {end, mode, slots: [...one.slots, ...slots], written: one.written + written});
        }
      }
      reached = [...following.values()];
    }
    return reached;
  }

  *#permuted(left, soFar) {
    if (!left.length) yield soFar;
    for (let number = 0; number < left.length; number++) {
      for (const one of this.#series([left[number]], soFar)) yield* this.#permuted(left.toSpliced(number, 1), one);
    }
  }
}

function keepFirst(byEnd, match) {
  const key = `${match.end},${match.mode}`;
  if (!byEnd.has(key)) byEnd.set(key, match);
}

/** A site's grammar: what constrains the search, and what reads its sentences. */
export class Grammar {
  /** @param {object} record of `site.json` @param {Vocabulary} vocabulary */
  constructor(record, vocabulary) {
    this.scorer = new GrammarScorer(new SentenceGraph(record.graph), vocabulary);
    this.parser = new Parser(record);
  }
}
