// Somebody speaking: samples in as they come, the text so far and the utterances that ended out
// (speechgru/runtime/stream.py).
import {DecoderStream} from './decoder.js';
import {Windows} from './engine.js';
import {KeywordSpotter} from './keywords.js';
import {joined} from './rows.js';

/** Seconds of new sound after which a model that needs whole recordings computes what it has once more. */
const TICK_SECONDS = 0.4;

/** Seconds of silence that such a model keeps before what may be said next. */
const LEAD_SECONDS = 0.5;

/** What the page asks of either kind of session: `feed` and `finish`, one after the other, then nothing more. */
class Session {
  /**
   * @param {Engine} engine
   * @param {object} how to decode, as `DecoderStream` takes it, without `startSeconds`
   * @param {EndpointRule|null} rule when an utterance is over; null never
   */
  constructor(engine, how, rule) {
    this.engine = engine;
    this.how = how;
    this.rule = rule;
    this.sampleRate = engine.site.sample_rate;
    this.stepSamples = Math.round(how.stepSeconds * this.sampleRate);
    this.onRows = () => {}; // called with log-probabilities and the sample of the session at which they begin
  }

  makeDecoder(firstSample) {
    return new DecoderStream({...this.how, startSeconds: firstSample / this.sampleRate});
  }

  /** An utterance that is over, with its sound. */
  ended(hypothesis, samples) {
    return {...hypothesis, samples};
  }
}

/** A model that streams: chunk by chunk, the same however the samples are cut. */
export class StreamSession extends Session {
  constructor(engine, how, rule = null) {
    super(engine, how, rule);
    this.#begin(0);
  }

  #begin(firstSample) {
    this.windows?.delete();
    this.firstSample = firstSample;
    this.windows = new Windows(this.engine);
    this.sound = []; // of this utterance
    this.decoder = this.makeDecoder(firstSample);
  }

  /**
   * Takes the next samples at the model's rate.
   *
   * @returns the `hypothesis` so far, the utterances that `ended`, and whether anything was computed (`isNew`)
   */
  async feed(samples) {
    const ended = [];
    let isNew = false;
    while (samples.length) {
      // Chunk by chunk where an utterance may end: what the next one begins with must be decoded again.
      const size = this.rule ? this.engine.geometry.chunkSamples : samples.length;
      const piece = samples.subarray(0, size);
      samples = samples.subarray(size);
      this.sound.push(piece);
      for (const values of await this.windows.feed(piece)) {
        this.#show(values);
        isNew = true;
        if (this.decoder.feedUntil(values, this.rule) === null) continue;
        const all = joined(this.sound), used = Math.min(all.length, this.decoder.numSteps * this.stepSamples);
        const hypothesis = this.decoder.finish();
        if (hypothesis.words.length) ended.push(this.ended(hypothesis, all.slice(0, used)));
        samples = joined([all.subarray(used), samples]);
        this.#begin(this.firstSample + used);
        break;
      }
    }
    return {hypothesis: this.decoder.partial(), ended, isNew};
  }

  #show(values) {
    if (values.length) this.onRows(values, this.firstSample + this.decoder.numSteps * this.stepSamples);
  }

  /** Nothing follows; gives the last utterance. */
  async finish() {
    for (const values of await this.windows.finish()) {
      this.#show(values);
      this.decoder.feed(values);
    }
    this.windows.delete();
    return this.ended(this.decoder.finish(), joined(this.sound));
  }
}

/**
 * A model that needs whole recordings: now and then what was said so far is computed once more, and at the end.
 *
 * What is computed is a whole number of ticks, so that the same few lengths come again and again: LiteRT.js has to
 * prepare a model for each.
 */
export class WholeSession extends Session {
  constructor(engine, how, rule = null) {
    super(engine, how, rule);
    this.tickSamples = Math.max(1, Math.round(TICK_SECONDS * this.sampleRate));
    this.firstSample = 0; // of this utterance
    this.sound = new Float32Array(0);
    this.computed = 0; // samples of the utterance that the hypothesis is of
    this.idleUntil = 0; // when it may compute again: half of the time is the page's, however slow the machine
    this.hypothesis = this.makeDecoder(0).partial();
  }

  /** Takes the next samples and leaves computing to what follows: of a recording that is there already. */
  append(samples) {
    this.sound = joined([this.sound, samples]);
  }

  async feed(samples) {
    const ended = [];
    let isNew = false;
    this.append(samples);
    const ticks = Math.floor(this.sound.length / this.tickSamples) * this.tickSamples;
    if (ticks - this.computed >= this.tickSamples && performance.now() >= this.idleUntil) {
      const began = performance.now();
      isNew = true;
      this.computed = ticks;
      const decoder = this.makeDecoder(this.firstSample);
      const over = decoder.feedUntil(await this.#compute(this.sound.subarray(0, ticks)), this.rule);
      this.hypothesis = decoder.partial();
      if (over !== null) await this.#end(decoder.hasLabel, over * this.stepSamples, ended);
      this.idleUntil = 2 * performance.now() - began;
    }
    return {hypothesis: this.hypothesis, ended, isNew};
  }

  async #end(hasLabel, used, ended) {
    if (hasLabel) {
      const sound = this.sound.slice(0, used), decoder = this.makeDecoder(this.firstSample);
      decoder.feed(await this.#compute(sound));
      const hypothesis = decoder.finish();
      if (hypothesis.words.length) ended.push(this.ended(hypothesis, sound));
    } else {
      // Nobody spoke yet: what comes next may have begun just now.
      used = Math.max(0, used - Math.round(LEAD_SECONDS * this.sampleRate));
    }
    this.sound = this.sound.slice(used);
    this.firstSample += used;
    this.computed = 0;
    this.hypothesis = this.makeDecoder(this.firstSample).partial();
  }

  async #compute(sound) {
    const values = await this.engine.recognize(sound);
    this.onRows(values, this.firstSample);
    return values;
  }

  async finish() {
    const decoder = this.makeDecoder(this.firstSample);
    decoder.feed(await this.#compute(this.sound));
    return this.ended(decoder.finish(), this.sound);
  }
}

/** A model that listens always for a few words: nothing is decoded, and no sound is kept. */
export class KeywordSession extends Session {
  constructor(engine, how) {
    super(engine, how, null);
    this.windows = new Windows(engine);
    this.spotter = new KeywordSpotter(engine.site.keywords, engine.site.entries.length + 1, how.stepSeconds);
  }

  /** @returns the keywords `found`, each once, and whether anything was computed (`isNew`) */
  async feed(samples) {
    const pieces = await this.windows.feed(samples);
    return {found: this.#spot(pieces), isNew: pieces.length > 0};
  }

  /** Nothing follows; gives the keywords of what is left. */
  async finish() {
    const found = this.#spot(await this.windows.finish());
    this.windows.delete();
    return {found};
  }

  #spot(pieces) {
    return pieces.flatMap((values) => {
      this.onRows(values, this.spotter.numSteps * this.stepSamples);
      return this.spotter.feed(values);
    });
  }
}

/** The session that suits the engine's model. */
export function openSession(engine, how, rule) {
  if (engine.site.keywords) return new KeywordSession(engine, how);
  return engine.streams ? new StreamSession(engine, how, rule) : new WholeSession(engine, how, rule);
}
