// Which characters may follow a beginning of a sentence, and how many steps its shortest end takes
// (speechgru/grammar/graph.py). The nodes come ready from `SentenceGraph.as_record`:
//   0 nothing · [character, after] · [[item, ...]] one of several · [first, second, 0] one node, then another

// Where a match stands between words: at the beginning of the text, inside a word, after white space of a template,
// after an apostrophe, which counts only where a letter follows.
export const FRESH = 0, WORD = 1, GAP = 2, APOSTROPHE = 3;
const MODES = 4;
const MOST_KNOWN = 50_000; // answers about more states than this are forgotten at once

const isLetter = (node) => node !== 0 && node.length === 2;
const isEither = (node) => node !== 0 && node.length === 1;
/** Whether a character is a letter or digit, as Python's `str.isalnum` has it. */
export const isAlphanumeric = (character) => /^[\p{L}\p{N}]/u.test(character);

/** What may be said, character by character. A state is the sorted places where a text may be, joined by commas. */
export class SentenceGraph {
  /** @param {{nodes: Array, top: number, apostrophe: string}} record of `SentenceGraph.as_record` */
  constructor({nodes, top, apostrophe}) {
    this.nodes = nodes;
    this.apostrophe = apostrophe;
    // A chain is a node and the chain that follows it; number 0 is the end.
    this.chains = [[0, 0]];
    this.chainNumbers = new Map();
    this.passes = new Map();
    this.needs = new Map();
    this.arcs = new Map();
    this.known = new Map();
    nodes.forEach((node, number) => { // from their ends on, so that no recursion gets deep
      if (isLetter(node)) this.#passesOf(number, WORD);
    });
    this.start = String(this.#chain(top, 0) * MODES + FRESH);
  }

  /** The characters that may come next, each with the places that it leads to. */
  moves(places) {
    let found = this.known.get(places);
    if (found === undefined) {
      if (this.known.size >= MOST_KNOWN) {
        this.known.clear();
        this.arcs.clear();
      }
      const reached = new Map();
      for (const place of placesOf(places)) {
        for (const [character, after] of this.#arcsOf(place).arcs) {
          if (!reached.has(character)) reached.set(character, new Set());
          reached.get(character).add(after);
        }
      }
      found = new Map();
      for (const [character, afters] of reached) {
        found.set(character, [...afters].sort((one, other) => one - other).join());
      }
      this.known.set(places, found);
    }
    return found;
  }

  /** Whether a sentence may end here. */
  ends(places) {
    return placesOf(places).some((place) => this.#arcsOf(place).ends);
  }

  /** The fewest steps to an end: `steps`, the `first` character of such an end, and whether `other`s are as short. */
  need(places) {
    return least(placesOf(places).map((place) => this.#needOf(place)));
  }

  #chain(node, after) {
    if (node === 0) return after;
    const key = `${node},${after}`;
    let number = this.chainNumbers.get(key);
    if (number === undefined) {
      number = this.chains.length;
      this.chainNumbers.set(key, number);
      this.chains.push([node, after]);
    }
    return number;
  }

  /** The characters that lead on from a place, each with the place after it; and whether a sentence ends there. */
  #arcsOf(place) {
    const known = this.arcs.get(place);
    if (known !== undefined) return known;
    const arcs = new Map();
    const add = (character, after) => arcs.set(`${character} ${after}`, [character, after]);
    const seen = new Set([place]), waiting = [place];
    let ends = false;
    while (waiting.length) {
      const current = waiting.pop(), chain = Math.floor(current / MODES), mode = current % MODES;
      if (chain === 0) {
        ends = true;
        continue;
      }
      const [number, after] = this.chains[chain], node = this.nodes[number];
      let following;
      if (isLetter(node)) {
        const [character, then] = node;
        if (character === ' ' || character === this.apostrophe) {
          following = [this.#chain(then, after) * MODES + modeAfter(character, mode)];
        } else {
          if (mode === FRESH || mode === WORD) add(character, this.#chain(then, after) * MODES + WORD);
          else if (mode === APOSTROPHE && isAlphanumeric(character)) add("'", chain * MODES + WORD);
          else add(' ', chain * MODES + FRESH);
          continue;
        }
      } else if (isEither(node)) {
        following = node[0].map((item) => this.#chain(item, after) * MODES + mode);
      } else {
        following = [this.#chain(node[0], this.#chain(node[1], after)) * MODES + mode];
      }
      for (const each of following) {
        if (seen.has(each)) continue;
        seen.add(each);
        waiting.push(each);
      }
    }
    const found = {arcs: [...arcs.values()], ends};
    this.arcs.set(place, found);
    return found;
  }

  // --- the shortest ends ---

  #needOf(place) {
    const waiting = [place];
    while (waiting.length) { // what follows first, without recursion
      const current = waiting[waiting.length - 1];
      if (this.needs.has(current)) {
        waiting.pop();
        continue;
      }
      const chain = Math.floor(current / MODES), mode = current % MODES;
      if (chain === 0) {
        this.needs.set(current, {steps: 0, first: null, other: false});
        continue;
      }
      const [node, after] = this.chains[chain], passes = this.#passesOf(node, mode);
      const missing = passes.map((each) => after * MODES + each.mode).filter((each) => !this.needs.has(each));
      if (missing.length) {
        waiting.push(...missing);
        continue;
      }
      this.needs.set(current, least(passes.map((each) => {
        const rest = this.needs.get(after * MODES + each.mode);
        if (each.first === null) return rest;
        return {steps: each.steps + stepsAfter(rest, each.last), first: each.first, other: false};
      })));
    }
    return this.needs.get(place);
  }

  /** The ways through a node that may begin or end a shortest text, whatever stands before and after it. */
  #passesOf(number, mode) {
    const key = number * MODES + mode;
    let found = this.passes.get(key);
    if (found === undefined) {
      const node = this.nodes[number];
      let ways;
      if (node === 0) ways = [{first: null, last: null, mode, steps: 0}];
      else if (isLetter(node)) ways = this.#throughLetter(number, node, mode);
      else if (isEither(node)) ways = node[0].flatMap((item) => this.#passesOf(item, mode));
      else {
        ways = this.#passesOf(node[0], mode).flatMap((each) => (
          this.#passesOf(node[1], each.mode).map((then) => joinedPass(each, then))));
      }
      found = neededPasses(ways);
      this.passes.set(key, found);
    }
    return found;
  }

  #throughLetter(number, [character, after], mode) {
    if (character === ' ' || character === this.apostrophe) return this.#passesOf(after, modeAfter(character, mode));
    if (mode === WORD) {
      const letter = {first: character, last: character, mode: WORD, steps: 1};
      return this.#passesOf(after, WORD).map((then) => joinedPass(letter, then));
    }
    const rest = this.#passesOf(number, WORD);
    if (mode === FRESH) return rest;
    const before = mode === APOSTROPHE && isAlphanumeric(character) ? "'" : ' ';
    return rest.map((then) => joinedPass({first: before, last: before, mode: WORD, steps: 1}, then));
  }
}

/** The steps of a need where the character before was `last`: a blank more if the first one repeats it. */
export function stepsAfter(need, last) {
  return need.steps + (last !== null && last === need.first && !need.other ? 1 : 0);
}

const placesOf = (places) => places.split(',').map(Number);

/** The mode after a gap or an apostrophe of a template; two apostrophes in a row are no inner ones. */
function modeAfter(character, mode) {
  if (character === ' ') return mode === FRESH ? FRESH : GAP;
  if (mode === WORD) return APOSTROPHE;
  return mode === APOSTROPHE ? GAP : mode;
}

function joinedPass(one, then) {
  if (one.first === null) return then;
  if (then.first === null) return {...one, mode: then.mode};
  const steps = one.steps + then.steps + (one.last === then.first ? 1 : 0);
  return {first: one.first, last: then.last, mode: then.mode, steps};
}

function least(needs) {
  const steps = Math.min(...needs.map((need) => need.steps)), shortest = needs.filter((need) => need.steps === steps);
  const first = shortest[0].first;
  return {steps, first, other: shortest.some((need) => need.other || need.first !== first)};
}

const passCost = (way, before, after) => way.steps + (way.first === before) + (way.last === after);

/** The ways of which some is the shortest for every pair of characters before and after the node. */
function neededPasses(ways) {
  const different = new Map(ways.map((way) => [JSON.stringify([way.first, way.last, way.mode, way.steps]), way]));
  const text = (character) => character ?? '';
  const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
  const sorted = [...different.values()].sort((one, other) => one.steps - other.steps
    || compare(text(one.first), text(other.first)) || compare(text(one.last), text(other.last)));
  const kept = [];
  for (const way of sorted) {
    const others = kept.filter((other) => other.mode === way.mode);
    const edges = (side) => [...new Set([way[side], '', ...others.map((other) => other[side])])]
      .filter((character) => character !== null);
    const isNeedless = edges('first').every((before) => edges('last').every((after) => (
      others.some((other) => passCost(other, before, after) <= passCost(way, before, after)))));
    if (!isNeedless) kept.push(way);
  }
  return kept;
}
