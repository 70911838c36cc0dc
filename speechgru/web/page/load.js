// What every page loads: the site's record, the model, LiteRT.js.
import {EndpointRule, decode} from './decoder.js';
import {Engine} from './engine.js';
import {Grammar} from './grammar.js';
import {Vocabulary} from './vocabulary.js';

async function get(path) {
  const answer = await fetch(new URL(path, import.meta.url));
  if (!answer.ok) throw new Error(`${path} does not load (${answer.status} ${answer.statusText}).`);
  return answer;
}

export const getBytes = async (path) => new Uint8Array(await (await get(path)).arrayBuffer());
export const getFloats = async (path) => new Float32Array(await (await get(path)).arrayBuffer());
export const getSite = async () => (await get('site.json')).json();

export class Recognizer {
  constructor(site) {
    this.site = site;
    this.vocabulary = new Vocabulary(site);
    this.grammar = site.grammar && new Grammar(site.grammar, this.vocabulary);
    this.rule = new EndpointRule();
  }

  /** How to decode, for a `DecoderStream`: by the grammar's sentences alone, or greedily. */
  how({constrained = this.grammar !== null} = {}) {
    const {vocabulary, site} = this, how = {vocabulary, stepSeconds: site.step_seconds};
    if (!constrained) return how;
    return {...how, beamWidth: site.beam_width, grammar: this.grammar, threshold: site.threshold};
  }

  /** Loads LiteRT.js and the model; gives the milliseconds that it took. */
  async load() {
    const began = performance.now();
    const [litert, bytes] = await Promise.all([this.#litert(), getBytes(this.site.model)]);
    this.engine = await Engine.load(litert, bytes, this.site);
    // The first call prepares the graphs of model and grammar, which nobody should wait for while speaking.
    const values = await this.engine.logProbs(new Float32Array(Math.round(this.site.sample_rate / 2)));
    decode(values, this.how());
    this.engine.seconds = 0;
    return performance.now() - began;
  }

  async #litert() {
    const litert = await import('@litertjs/core'); // the page's import map says where it is
    await litert.loadLiteRt(new URL('litert/wasm/', import.meta.url).href);
    return litert;
  }
}
