// The studio: sentences to read, each recording judged at once, and the folder that `speechgru adapt` takes.
import {packedFolder} from './folder.js';
import {getBytes, getSite} from './load.js';
import {Microphone, whyNoMicrophone} from './microphone.js';
import {judge} from './quality.js';
import {joined} from './rows.js';
import {element} from './show.js';
import {writeWav} from './sound.js';

const at = (id) => document.getElementById(id);
const LEAST = 4; // recordings that `speechgru adapt` needs, one for each of its folds (speechgru/adapt/options.py)

class Studio {
  constructor(site) {
    this.site = site;
    this.prompts = site.prompts; // `text`, `intent`, `slots`
    this.waiting = this.prompts.map((_, place) => place);
    this.kept = new Map(); // a prompt's place -> its samples
    this.doubtful = null; // a recording that was not kept yet
    this.isSaved = true;
  }

  show(message = '', {isWrong = false} = {}) {
    const place = this.waiting[0], all = this.prompts.length;
    at('prompt-title').textContent = place === undefined ? 'All sentences are read' : `Sentence ${place + 1} of ${all}`;
    at('prompt').textContent = place === undefined ? 'Thank you. Save them below.' : this.prompts[place].text;
    at('record').disabled = at('skip').disabled = place === undefined;
    at('keep').hidden = this.doubtful === null;
    at('status').textContent = message;
    at('status').classList.toggle('wrong', isWrong);
    document.body.dataset.state = 'ready';
  }

  async begin() {
    this.pieces = [];
    this.microphone = new Microphone(this.site.sample_rate, (samples) => {
      if (!this.microphone) return; // it has just been stopped
      this.pieces.push(samples);
      const peak = samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      at('level').style.width = `${Math.max(0, 100 + 20 * Math.log10(Math.max(peak, 1e-4)) * (100 / 60))}%`;
      at('level').classList.toggle('loud', peak >= 0.99);
    }, (message) => this.end(message));
    this.doubtful = null;
    try {
      await this.microphone.start();
    } catch (error) {
      this.microphone = null;
      this.show(error.message, {isWrong: true});
      return;
    }
    at('record').setAttribute('aria-pressed', 'true');
    at('record').querySelector('.what').textContent = 'Stop';
    at('keep').hidden = true;
    at('status').textContent = 'Recording ...';
    document.body.dataset.state = 'listening';
  }

  async end(message = '') {
    const {microphone} = this;
    if (!microphone) return;
    this.microphone = null;
    await microphone.stop();
    at('record').setAttribute('aria-pressed', 'false');
    at('record').querySelector('.what').textContent = 'Record';
    at('level').style.width = '0';
    const samples = joined(this.pieces), place = this.waiting[0];
    const {seconds, peakDb, problem, suspicions} = judge(samples, this.site.sample_rate, this.prompts[place].text);
    if (problem || message) {
      this.show(message || problem, {isWrong: true});
    } else if (suspicions.length) {
      this.doubtful = samples;
      this.show(suspicions.join(' '), {isWrong: true});
    } else {
      this.keep(samples, `Kept: ${seconds.toFixed(1)} s, loudest at ${peakDb.toFixed(0)} dB.`);
    }
  }

  keep(samples, message = 'Kept.') {
    const place = this.waiting.shift();
    this.kept.set(place, samples);
    this.doubtful = null;
    this.isSaved = false;
    at('saved').textContent = '';
    this.#list();
    this.show(message);
  }

  skip() {
    this.waiting.shift();
    this.doubtful = null;
    this.show('Skipped.');
  }

  /** Asks for a sentence once more, which is read next. */
  again(place) {
    this.kept.delete(place);
    this.waiting.unshift(place);
    this.doubtful = null;
    this.#list();
    this.show();
  }

  #list() {
    document.querySelectorAll('#kept audio').forEach((audio) => URL.revokeObjectURL(audio.src));
    at('kept').replaceChildren(...[...this.kept].reverse().map(([place, samples]) => {
      const blob = new Blob([writeWav(samples, this.site.sample_rate)], {type: 'audio/wav'});
      const again = element('button', {}, 'Read it again');
      again.addEventListener('click', () => this.again(place));
      return element('li', {}, element('p', {class: 'line'}, this.prompts[place].text),
        element('div', {class: 'sound'}, element('audio', {controls: '', src: URL.createObjectURL(blob)}), again));
    }));
    const seconds = [...this.kept.values()].reduce((sum, samples) => sum + samples.length, 0) / this.site.sample_rate;
    at('count').textContent = this.kept.size
      ? `${this.kept.size} of ${this.prompts.length} sentences, ${seconds.toFixed(0)} s.` : 'Nothing yet.';
    at('save').disabled = !this.kept.size;
  }

  async save() {
    const {name, content} = packedFolder({
      speaker: at('speaker').value.trim() || 'me', prompts: this.prompts, kept: this.kept,
      sampleRate: this.site.sample_rate, grammar: await getBytes('grammar.json'),
    });
    const link = element('a', {download: `${name}.zip`});
    link.href = URL.createObjectURL(content);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    this.isSaved = true;
    const missing = LEAST - this.kept.size;
    at('saved').replaceChildren(`${name}.zip is saved. `,
      missing > 0 ? `Adapting needs ${LEAST} sentences or more: read ${missing} more, and save again. ` : '',
      'Then, where it was saved: ', element('code', {}, `speechgru adapt RUN --recordings ${name}.zip --run NEW`));
    at('saved').classList.toggle('wrong', missing > 0);
  }
}

async function main() {
  const site = await getSite();
  if (!site.grammar) {
    at('prompt-title').textContent = 'Nothing to read';
    at('status').textContent = 'This recogniser carries no grammar, so there are no sentences to read. '
      + 'Train one with data.grammar, or record with "speechgru record --grammar".';
    document.body.dataset.state = 'failed';
    return;
  }
  const studio = new Studio(site), toggle = () => (studio.microphone ? studio.end() : studio.begin());
  at('record').addEventListener('click', toggle);
  at('keep').addEventListener('click', () => studio.keep(studio.doubtful));
  at('skip').addEventListener('click', () => studio.skip());
  at('save').addEventListener('click', () => studio.save());
  addEventListener('keydown', (event) => {
    if (event.key !== ' ' || event.repeat || event.target.closest?.('button, input, a, audio')) return;
    event.preventDefault();
    if (!at('record').disabled) toggle();
  });
  addEventListener('beforeunload', (event) => {
    if (!studio.isSaved) event.preventDefault();
  });
  const reason = whyNoMicrophone();
  studio.show(reason, {isWrong: reason !== ''});
  at('record').disabled ||= reason !== '';
}

if (document.documentElement.dataset.start === 'yes') {
  main().catch((error) => {
    at('status').textContent = error.message ?? String(error);
    document.body.dataset.state = 'failed';
  });
}
