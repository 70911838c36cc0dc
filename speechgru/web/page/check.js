// The self-check: golden vectors through every stage of this site, each held to what the bundle says.
import {decode} from './decoder.js';
import {Windows} from './engine.js';
import {Recognizer, getFloats, getSite} from './load.js';
import {KeywordSpotter} from './keywords.js';
import {LogMel} from './log_mel.js';
import {joined} from './rows.js';
import {element} from './show.js';

const BLOCK = 128; // samples that an audio worklet gives at a time
const EXACT = 1e-6; // what summing in another order may change of a score
const at = (id) => document.getElementById(id);

/** The greatest difference of two lists; infinite where their lengths differ. */
function difference(found, wanted) {
  if (found.length !== wanted.length) return Infinity;
  let most = 0;
  for (let place = 0; place < found.length; place++) {
    const each = Math.abs(found[place] - wanted[place]);
    if (!(each <= most)) most = each; // NaN counts
  }
  return most;
}

/** How a hypothesis differs from Python's: the greatest difference of a number, infinite of anything else. */
function decodedDifference(found, wanted) {
  const texts = (hypothesis) => JSON.stringify([hypothesis.text, hypothesis.labels, hypothesis.spans, hypothesis.intent,
    Object.entries(hypothesis.slots).sort(), hypothesis.accepted, hypothesis.words.map((word) => word.text)]);
  if (texts(found) !== texts(wanted)) return Infinity;
  const numbers = ({score, confidence, posterior, margin, words}) => [
    score === -Infinity ? null : score, confidence, posterior, margin,
    ...words.flatMap((word) => [
      word.startSeconds ?? word.start_seconds, word.endSeconds ?? word.end_seconds, word.confidence]),
  ];
  const [one, other] = [numbers(found), numbers(wanted)];
  if (one.some((value, place) => (value === null) !== (other[place] === null))) return Infinity;
  return difference(one.map((value) => value ?? 0), other.map((value) => value ?? 0));
}

class Check {
  constructor(recognizer) {
    this.recognizer = recognizer;
    this.results = [];
    this.sound = 0; // seconds
    this.computing = 0;
    this.compile = null;
  }

  add(name, what, found, allowed, text = '') {
    const passed = found <= allowed;
    this.results.push({name, what, passed, difference: found, allowed, text});
    const number = (value) => (value === 0 ? '0' : value.toExponential(1));
    at('rows').append(element('tr', {},
      element('th', {scope: 'row'}, name),
      element('td', {class: `text ${passed ? 'passed' : 'failed'}`}, passed ? 'passed' : 'failed'),
      element('td', {class: 'text'}, what),
      element('td', {}, Number.isFinite(found) ? number(found) : 'another one'), element('td', {}, number(allowed)),
      element('td', {class: 'text'}, text)));
  }

  async run() {
    const {site, engine} = this.recognizer;
    for (const golden of site.golden) {
      const files = Object.fromEntries(await Promise.all(Object.entries(golden.arrays).map(async ([stage, file]) => (
        [stage, await getFloats(`golden/${file}`)]))));
      this.#logMel(golden, files);
      this.#decoding(golden, files);
      this.#keywords(golden, files);
      const began = performance.now();
      const whole = await engine.recognize(files.samples), first = performance.now() - began;
      const again = performance.now();
      await engine.recognize(files.samples);
      this.compile = first - (performance.now() - again);
      const before = engine.seconds;
      this.#logProbs(golden, 'log-probabilities, all at once', whole, files);
      if (engine.streams) {
        const streamed = await this.#streamed(files);
        this.#logProbs(golden, `log-probabilities, ${BLOCK} samples at a time`, streamed, files);
      } else {
        await engine.recognize(files.samples);
      }
      this.computing += engine.seconds - before;
      this.sound += files.samples.length / site.sample_rate;
      at('rtf').textContent = (this.computing / this.sound).toPrecision(2);
    }
  }

  #logMel({name, tolerance}, {samples, log_mel: wanted}) {
    if (!wanted) return;
    const {site} = this.recognizer, logMel = new LogMel(site.features, site.sample_rate);
    const frames = Array.from({length: logMel.numFrames(samples.length)}, (_, number) => logMel.frame(samples, number));
    this.add(name, 'log-mel of the picture', difference(joined(frames), wanted), tolerance.log_mel);
  }

  #decoding({name, decoded}, {log_probs: values}) {
    const {vocabulary, site, grammar} = this.recognizer, how = {vocabulary, stepSeconds: site.step_seconds};
    const ways = {
      greedy: ['greedy decoding', how],
      beam: [`beam of ${site.beam_width}`, {...how, beamWidth: site.beam_width}],
      grammar: ['beam within the grammar', {...how, beamWidth: site.beam_width, grammar, threshold: site.threshold}],
    };
    for (const [way, wanted] of Object.entries(decoded)) {
      const [what, options] = ways[way], found = decode(values, options);
      const meaning = found.intent ? ` → ${found.intent} ${JSON.stringify(found.slots)}` : '';
      this.add(name, what, decodedDifference(found, wanted), EXACT, `${found.text}${meaning}`);
    }
  }

  #keywords({name, keywords: wanted}, {log_probs: values}) {
    const {site} = this.recognizer;
    if (!wanted) return;
    const found = new KeywordSpotter(site.keywords, site.entries.length + 1, site.step_seconds).feed(values);
    const names = (each) => each.map(({keyword}) => keyword).join(' ');
    const numbers = (each) => each.flatMap(({seconds, score}) => [seconds, score]);
    const off = names(found) === names(wanted) ? difference(numbers(found), numbers(wanted)) : Infinity;
    this.add(name, 'keywords', off, EXACT, names(found));
  }

  #logProbs({name, tolerance, text}, what, found, {log_probs: wanted}) {
    const {vocabulary, site} = this.recognizer;
    const spoken = decode(found, {vocabulary, stepSeconds: site.step_seconds}).text;
    const off = spoken === text ? difference(found, wanted) : Infinity;
    this.add(name, what, off, tolerance.log_probs, spoken);
  }

  async #streamed({samples}) {
    const windows = new Windows(this.recognizer.engine), values = [];
    for (let start = 0; start < samples.length; start += BLOCK) {
      values.push(...await windows.feed(samples.subarray(start, start + BLOCK)));
    }
    values.push(...await windows.finish());
    windows.delete();
    return joined(values);
  }
}

async function main() {
  document.body.dataset.state = 'loading';
  const recognizer = new Recognizer(await getSite()), {site} = recognizer;
  at('studio').hidden = site.grammar === null;
  at('made').textContent = `Form ${site.form}; speechgru ${site.speechgru_version}, LiteRT.js ${site.litert}.`;
  const milliseconds = await recognizer.load();
  at('load').textContent = `${(milliseconds / 1000).toFixed(2)}\u202fs`;
  if (!site.golden.length) {
    at('status').textContent = 'This site came without golden vectors, so there is nothing to compare with.';
    document.body.dataset.state = 'done';
    return;
  }
  at('table').hidden = false;
  at('status').textContent = 'Checking ...';
  const check = new Check(recognizer);
  await check.run();
  at('compile').textContent = `${Math.max(0, Math.round(check.compile))}\u202fms`;
  const failed = check.results.filter((result) => !result.passed).length, all = check.results.length;
  at('status').textContent = failed
    ? `${failed} of ${all} checks failed: this browser does not compute what the bundle says.`
    : `All ${all} checks passed: this browser computes what the bundle says.`;
  at('status').className = failed ? 'failed' : 'passed';
  document.body.dataset.results = JSON.stringify(check.results.map((each) => (
    {...each, difference: Number.isFinite(each.difference) ? each.difference : null})));
  document.body.dataset.state = 'done';
}

function fail(error) {
  at('status').textContent = error.message ?? String(error);
  at('status').className = 'failed';
  document.body.dataset.state = 'failed';
}

if (document.documentElement.dataset.start === 'yes') main().catch(fail);
