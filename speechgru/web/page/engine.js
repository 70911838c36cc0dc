// One exported model under LiteRT.js: whole recordings and streams (speechgru/runtime/engine.py, windows.py).
import {StreamGeometry, numFrames, numSteps} from './lengths.js';
import {joined} from './rows.js';
import {ofLength} from './tflite.js';

const OPTIONS = {accelerator: 'wasm'};

/** Bytes of models for recordings of a length that are kept for the next ones of that length. */
const KEPT_BYTES = 48e6;

/** A model that is loaded. Calls wait for each other: a model holds the tensors of one call. */
export class Engine {
  /**
   * @param {object} litert the module `@litertjs/core`, its WebAssembly loaded
   * @param {Uint8Array} bytes the .tflite file
   * @param {object} site what `site.json` holds
   */
  static async load(litert, bytes, site) {
    const engine = new Engine(litert, bytes, site);
    if (site.stream) engine.model = await litert.loadAndCompile(bytes, OPTIONS);
    return engine;
  }

  constructor(litert, bytes, site) {
    this.litert = litert;
    this.bytes = bytes;
    this.site = site;
    this.geometry = site.stream && new StreamGeometry(site.stream.geometry);
    this.frontEnd = site.features;
    this.model = null; // of streams
    this.fixed = new Map(); // length -> model of whole recordings of that length, those last asked for at the end
    this.seconds = 0; // of computing
    this.turn = Promise.resolve();
  }

  get streams() {
    return this.geometry !== null;
  }

  /** Runs `work` once all that was asked for before is done. */
  inTurn(work) {
    const done = this.turn.then(work);
    this.turn = done.catch(() => {});
    return done;
  }

  /** The log-probabilities of a whole recording, one flat array: of any model, by `recognize`. */
  async recognize(samples) {
    const steps = numSteps(samples.length, this.frontEnd, this.site.subsampling_factor);
    if (!steps) return new Float32Array(0);
    return this.inTurn(async () => {
      const began = performance.now(), {Tensor} = this.litert;
      const model = await this.#modelFor(samples.length, steps);
      const input = new Tensor(samples.slice(), [1, samples.length]);
      const {log_probs: output} = await model.signatures.recognize.run({samples: input});
      const values = output.toTypedArray().slice();
      input.delete();
      output.delete();
      this.seconds += (performance.now() - began) / 1000;
      return values;
    });
  }

  async #modelFor(length, steps) {
    let model = this.fixed.get(length);
    this.fixed.delete(length);
    if (!model) {
      const most = Math.max(2, Math.floor(KEPT_BYTES / this.bytes.length));
      for (const [oldest, unused] of this.fixed) {
        if (this.fixed.size < most) break;
        unused.delete();
        this.fixed.delete(oldest);
      }
      model = await this.litert.loadAndCompile(ofLength(this.bytes, length, steps), OPTIONS);
    }
    this.fixed.set(length, model);
    return model;
  }

  /** The log-probabilities of a whole recording: by a stream where the model has one, which is the same. */
  async logProbs(samples) {
    if (!this.streams) return this.recognize(samples);
    const windows = new Windows(this);
    const values = joined([...await windows.feed(samples), ...await windows.finish()]);
    windows.delete();
    return values;
  }

  numFrames(numSamples) {
    return numFrames(numSamples, this.frontEnd);
  }
}

/**
 * One recording on its way through a streaming model.
 *
 * All that `feed` and `finish` give, one after the other, is what the model gives for all samples at once. Await each
 * call before the next one, and `delete` it at the end: LiteRT's tensors are not the garbage collector's.
 */
export class Windows {
  constructor(engine) {
    this.engine = engine;
    this.geometry = engine.geometry;
    this.states = Object.fromEntries(
      Object.entries(engine.site.stream.states).map(([name, shape]) => [name, this.#zeros(shape)]));
    // The first window begins before the recording: with zeros, then the samples that a first call waits for.
    this.waiting = [new Float32Array(this.geometry.samplesBefore)];
    this.numCalls = 0;
    this.numSamples = 0;
  }

  #zeros(shape) {
    return new this.engine.litert.Tensor(new Float32Array(shape.reduce((one, other) => one * other, 1)), shape);
  }

  /** Takes the next samples; gives the log-probabilities of each call that they complete. */
  async feed(samples) {
    this.waiting.push(samples.slice());
    this.numSamples += samples.length;
    const ready = this.geometry.numReadyCalls(this.numSamples);
    return ready > this.numCalls ? this.#run(ready, null) : [];
  }

  /** Ends the recording; gives what is left, call by call. */
  async finish() {
    const {windowSamples, chunkSamples, delay_steps: delay} = this.geometry;
    this.waiting.push(new Float32Array(windowSamples + chunkSamples * (1 + delay)));
    return this.#run(this.geometry.numCalls(this.numSamples), this.numSamples);
  }

  delete() {
    Object.values(this.states).forEach((tensor) => tensor.delete());
    this.states = {};
  }

  async #run(until, total) {
    const {geometry, engine} = this, {Tensor} = engine.litert;
    const waiting = joined(this.waiting), width = engine.site.entries.length + 1, results = [];
    const steps = total === null ? null : geometry.numSteps(total);
    let used = 0;
    if (!this.numCalls && until) {
      used = geometry.contextSamples;
      this.states.context.delete();
      this.states.context = new Tensor(waiting.slice(0, used), [1, used]);
    }
    for (; this.numCalls < until; this.numCalls++) {
      const chunk = waiting.slice(used, used + geometry.chunkSamples);
      const inputs = {
        samples: new Tensor(chunk, [1, chunk.length]),
        bounds: new Tensor(new Int32Array(geometry.bounds(this.numCalls, total)), [4]),
      };
      const values = await engine.inTurn(async () => {
        const began = performance.now();
        const {log_probs: output, ...states} = await engine.model.signatures.stream.run({...inputs, ...this.states});
        [...Object.values(inputs), ...Object.values(this.states)].forEach((tensor) => tensor.delete());
        this.states = states;
        const found = output.toTypedArray().slice();
        output.delete();
        engine.seconds += (performance.now() - began) / 1000;
        return found;
      });
      const [first, end] = geometry.stepsOf(this.numCalls, steps);
      if (end > first) results.push(values.subarray(first * width, end * width));
      used += geometry.chunkSamples;
    }
    this.waiting = [waiting.slice(used)];
    return results;
  }
}
