// The page that recognises: microphone and recordings in, text, words, meaning and pictures out.
import {Recognizer, getSite} from './load.js';
import {Microphone, whyNoMicrophone} from './microphone.js';
import {Picture} from './picture.js';
import {joined} from './rows.js';
import {openSession} from './session.js';
import {readSound, writeWav} from './sound.js';
import {chips, element, keywordItem, utteranceItem} from './show.js';

const MOST_UTTERANCES = 20; // kept, with their sound
const PIECE_SECONDS = 0.1; // of a recording, between two looks at the picture
const at = (id) => document.getElementById(id);

const page = {recognizer: null, picture: null, microphone: null, finish: null};

function say(message, {isWrong = false} = {}) {
  at('status').textContent = message;
  at('status').classList.toggle('wrong', isWrong);
}

/** For programs that look on: loading, ready, listening, computing or failed. */
function setState(state) {
  document.body.dataset.state = state;
}

// --- what is said ---

class Show {
  constructor(rate) {
    this.rate = rate;
    this.words = []; // of utterances that ended
    this.seconds = 0; // of computing, decoding and waiting for the model
    this.sound = 0; // seconds of sound
    this.delays = [];
    this.numFound = 0; // keywords
  }

  /** What a session gave for a piece of sound that was complete at a time; null where nobody waits. */
  update({hypothesis = {words: []}, ended = [], found = [], isNew}, complete) {
    for (const each of ended) this.end(each);
    for (const each of found) this.find(each);
    page.picture.setWords([...this.words, ...hypothesis.words]);
    if (hypothesis.words.length) this.say(hypothesis); // else the utterance that ended last stays
    if (complete !== null && isNew) {
      this.delays = [...this.delays.slice(-49), performance.now() - complete];
      const sorted = [...this.delays].sort((one, other) => one - other);
      at('delay').textContent = `${Math.round(sorted[Math.floor(sorted.length / 2)])}\u202fms`;
    }
    if (this.sound > 0) at('rtf').textContent = (this.seconds / this.sound).toPrecision(2);
  }

  say(hypothesis) {
    const words = hypothesis.words.map((word) => word.text);
    const last = element('span', {class: 'coming'}, words.pop());
    at('text').replaceChildren(words.length ? `${words.join(' ')} ` : '', last);
    at('meaning').replaceChildren();
  }

  end(hypothesis) {
    this.words = [...this.words, ...hypothesis.words].slice(-60);
    at('text').replaceChildren(hypothesis.text);
    at('meaning').replaceChildren(...chips(hypothesis));
    this.list(utteranceItem(hypothesis, writeWav(hypothesis.samples, this.rate)));
  }

  find(found) {
    this.numFound++;
    at('text').replaceChildren(found.keyword);
    this.list(keywordItem(found));
  }

  list(item) {
    at('none').hidden = true;
    const list = at('ended');
    list.prepend(item);
    while (list.children.length > MOST_UTTERANCES) {
      const audio = list.lastChild.querySelector('audio');
      if (audio) URL.revokeObjectURL(audio.src);
      list.lastChild.remove();
    }
  }
}

function open(rule) {
  const {recognizer, picture} = page;
  picture.clear();
  at('text').replaceChildren();
  at('meaning').replaceChildren();
  const constrained = recognizer.grammar !== null && at('constrained').checked;
  const session = openSession(recognizer.engine, recognizer.how({constrained}), rule);
  session.onRows = (values, firstSample) => picture.addRows(values, firstSample);
  return {session, show: new Show(recognizer.site.sample_rate)};
}

/** Feeds a session and shows what it gives; `complete` is when the sound was complete, null where nobody waits. */
async function feed({session, show}, samples, complete) {
  page.picture.addSound(samples);
  const began = performance.now(), result = await session.feed(samples);
  show.seconds += (performance.now() - began) / 1000;
  show.sound += samples.length / show.rate;
  show.update(result, complete);
}

async function finish({session, show}) {
  const began = performance.now(), last = await session.finish();
  show.seconds += (performance.now() - began) / 1000;
  show.update(last.found ? last : {ended: last.words.length ? [last] : []}, null);
  if (!show.words.length && !show.numFound) at('text').replaceChildren('Nothing was recognised.');
}

// --- the microphone ---

async function listen() {
  const opened = open(page.recognizer.rule), waiting = [];
  let done = Promise.resolve(), isOver = false; // one piece of work after the other, the end last
  const work = async () => {
    if (!waiting.length) return;
    // All that came while the model was computing, at once: a slow machine falls behind, and catches up.
    const pieces = waiting.splice(0), complete = pieces.at(-1).complete;
    await feed(opened, joined(pieces.map((piece) => piece.samples)), complete);
  };
  const onSamples = (samples) => {
    if (isOver) return;
    showLevel(samples);
    waiting.push({samples, complete: performance.now()});
    done = done.then(work);
    done.catch(fail);
  };
  page.microphone = new Microphone(page.recognizer.site.sample_rate, onSamples, (message) => stop(message));
  page.finish = async () => {
    isOver = true;
    await done;
    await work();
    await finish(opened);
  };
  await page.microphone.start();
  setState('listening');
  at('microphone').setAttribute('aria-pressed', 'true');
  at('microphone').querySelector('.what').textContent = 'Stop';
  at('file').disabled = at('constrained').disabled = true;
  say(page.recognizer.site.keywords ? 'Listening for the keywords.' : 'Listening. A pause ends an utterance.');
}

async function stop(message = 'Ready.') {
  const {microphone} = page;
  if (!microphone) return;
  page.microphone = null;
  await microphone.stop();
  setState('computing');
  await page.finish();
  at('microphone').setAttribute('aria-pressed', 'false');
  at('microphone').querySelector('.what').textContent = 'Start the microphone';
  at('file').disabled = at('constrained').disabled = false;
  at('level').style.width = '0';
  say(message);
  setState('ready');
}

function showLevel(samples) {
  const peak = samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const decibels = 20 * Math.log10(Math.max(peak, 1e-4));
  at('level').style.width = `${Math.max(0, 100 + decibels * (100 / 60))}%`;
  at('level').classList.toggle('loud', peak >= 0.99);
}

async function toggle() {
  if (document.body.dataset.state === 'listening') return stop().catch(fail);
  if (document.body.dataset.state !== 'ready') return undefined;
  say('Waiting for the microphone ...');
  try {
    await listen();
  } catch (error) {
    await page.microphone?.stop();
    page.microphone = null;
    say(error.message, {isWrong: true});
    setState('ready');
  }
  return undefined;
}

// --- recordings ---

async function recognizeFile(file) {
  if (document.body.dataset.state !== 'ready') return;
  setState('computing');
  say(`Reading ${file.name} ...`);
  try {
    const samples = await readSound(await file.arrayBuffer(), page.recognizer.site.sample_rate);
    if (!samples.length) throw new Error('it holds no samples; record it again');
    await recognize(samples);
    say(`${file.name}: ${(samples.length / page.recognizer.site.sample_rate).toFixed(1)} s.`);
  } catch (error) {
    say(`${file.name}: ${error.message}`, {isWrong: true});
  }
  setState('ready');
}

/** A whole recording as one utterance, as `speechgru transcribe` gives it. */
async function recognize(samples) {
  const {engine, site} = page.recognizer, opened = open(null);
  if (engine.streams) {
    const size = Math.round(PIECE_SECONDS * site.sample_rate);
    for (let start = 0; start < samples.length; start += size) {
      await feed(opened, samples.subarray(start, start + size), null);
      if (start % (10 * size) === 0) await new Promise((resolve) => setTimeout(resolve)); // lets the page draw
    }
  } else {
    page.picture.addSound(samples);
    opened.session.append(samples);
    opened.show.sound = samples.length / site.sample_rate;
  }
  await finish(opened);
}

// --- the page ---

function fail(error) {
  say(error.message ?? String(error), {isWrong: true});
  setState('failed');
}

function describe({site}) {
  const labels = `${site.entries.length} ${site.unit}s`;
  const {least, greatest} = site.latency_seconds ?? {};
  const wait = site.latency_seconds
    ? `a step is known ${least.toFixed(2)} to ${greatest.toFixed(2)} s after its sound`
    : 'it needs whole utterances: what is said so far is computed every 0.4 s';
  at('lead').textContent = `${site.sample_rate / 1000} kHz, ${labels}, a ${site.direction} model; ${wait}. `
    + 'What is said stays in this browser: nothing is sent anywhere.';
  at('delay-aside').textContent = 'from a piece of sound to its text';
  at('made').textContent = `Form ${site.form}; speechgru ${site.speechgru_version}, LiteRT.js ${site.litert}.`;
  if (site.keywords) {
    const names = site.keywords.words.map(({text, threshold}) => `${text} (from a score of ${threshold.toFixed(2)})`);
    at('keywords').textContent = `It listens for nothing but ${names.join(', ')}, and reports each once when it is said.`;
    at('keywords').hidden = false;
    at('ended-title').textContent = 'Keywords';
    at('none').textContent = 'None yet.';
    at('delay-aside').textContent = 'from a piece of sound to its score';
  }
  at('constrained-choice').hidden = site.grammar === null || site.keywords !== null;
  at('studio').hidden = site.grammar === null;
  at('constrained').checked = site.grammar !== null;
}

function connect() {
  at('microphone').addEventListener('click', toggle);
  at('file').addEventListener('change', ({target}) => {
    if (target.files.length) recognizeFile(target.files[0]);
    target.value = '';
  });
  addEventListener('keydown', (event) => {
    const isControl = event.target.closest?.('button, input, a, audio, summary, [tabindex]');
    if (event.key === ' ' && !isControl && !event.repeat) {
      event.preventDefault();
      toggle();
    }
    if (event.key === 'Escape') stop().catch(fail);
  });
  addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('over');
  });
  addEventListener('dragleave', () => document.body.classList.remove('over'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('over');
    const [file] = event.dataTransfer.files;
    if (file) recognizeFile(file);
  });
}

async function main() {
  setState('loading');
  page.recognizer = new Recognizer(await getSite());
  describe(page.recognizer);
  const reason = whyNoMicrophone();
  if (reason) say(reason, {isWrong: true});
  page.picture = new Picture(at('picture'), page.recognizer);
  const milliseconds = await page.recognizer.load();
  at('load').textContent = `${(milliseconds / 1000).toFixed(2)}\u202fs`;
  connect();
  at('microphone').disabled = reason !== '';
  at('file').disabled = false;
  say(reason || 'Ready.', {isWrong: reason !== ''});
  setState('ready');
}

if (document.documentElement.dataset.start === 'yes') main().catch(fail);
