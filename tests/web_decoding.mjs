// Answers what tests/test_web_decoding.py asks of the page's modules: JSON in, JSON out, a list of answers each.
import {readFileSync, writeFileSync} from 'node:fs';

const [folder] = process.argv.slice(2), load = (name) => import(`${folder}/${name}`);
const {DecoderStream, EndpointRule, decode} = await load('decoder.js');
const {folderName, packedFolder} = await load('folder.js');
const {Grammar} = await load('grammar.js');
const {KeywordSpotter} = await load('keywords.js');
const {StreamGeometry, numFrames} = await load('lengths.js');
const {LogMel} = await load('log_mel.js');
const {Resampler, readWav, resample, writeWav} = await load('sound.js');
const {judge} = await load('quality.js');
const {Vocabulary} = await load('vocabulary.js');

const values = (log_probs) => Float32Array.from(log_probs.flat(), (value) => value ?? -Infinity);

function how({vocabulary, grammar = null, beam_width: beamWidth = 1, threshold = null}) {
  const made = new Vocabulary(vocabulary);
  return {vocabulary: made, stepSeconds: 0.04, beamWidth, threshold, grammar: grammar && new Grammar(grammar, made)};
}

const answers = {
  decode: (asked) => decode(values(asked.log_probs), how(asked)),
  stream(asked) {
    const stream = new DecoderStream(how(asked)), partial = [];
    for (const piece of asked.pieces) {
      stream.feed(values(piece));
      partial.push(stream.partial());
    }
    return {partial, finished: stream.finish()};
  },
  endpoint(asked) {
    const stream = new DecoderStream(how(asked));
    return stream.feedUntil(values(asked.log_probs), new EndpointRule(asked.rule));
  },
  parse: (asked) => asked.texts.map((text) => how(asked).grammar.parser.first(text)),
  geometry({geometry, num_samples: counts}) {
    const made = new StreamGeometry(geometry);
    return counts.map((count) => [numFrames(count, made), made.numSteps(count), made.numCalls(count),
      made.numReadyCalls(count), made.bounds(1, count), made.bounds(0, null), made.stepsOf(1, made.numSteps(count))]);
  },
  log_mel({features, sample_rate: rate, samples}) {
    const made = new LogMel(features, rate);
    return Array.from({length: made.numFrames(samples.length)}, (_, number) => (
      [...made.frame(Float32Array.from(samples), number)]));
  },
  resample({samples, source_rate: source, sample_rate: rate, piece}) {
    const whole = resample(Float32Array.from(samples), source, rate), stream = new Resampler(source, rate), pieces = [];
    for (let at = 0; at < samples.length; at += piece) {
      pieces.push(...stream.feed(Float32Array.from(samples.slice(at, at + piece))));
    }
    pieces.push(...stream.finish());
    return {whole: [...whole], pieces};
  },
  wav({file}) {
    const bytes = readFileSync(file);
    const found = readWav(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    return found && {samples: [...found.samples], sampleRate: found.sampleRate};
  },
  quality: ({samples, sample_rate: rate, text}) => judge(Float32Array.from(samples), rate, text),
  keywords(asked) {
    const spotter = new KeywordSpotter(asked.keywords, asked.log_probs[0].length, 0.04), found = [];
    for (let at = 0; at < asked.log_probs.length; at += 7) found.push(...spotter.feed(values(asked.log_probs.slice(at, at + 7))));
    return found;
  },
  folder_name: ({speakers}) => speakers.map(folderName),
  async packed_folder({file, grammar, kept, ...asked}) {
    const {name, content} = packedFolder({
      ...asked, sampleRate: asked.sample_rate, grammar: new TextEncoder().encode(grammar),
      kept: kept.map(([place, samples]) => [place, Float32Array.from(samples)]),
    });
    writeFileSync(file, new Uint8Array(await content.arrayBuffer()));
    return name;
  },
  written_wav: ({samples, sample_rate: rate}) => [...new Uint8Array(writeWav(Float32Array.from(samples), rate))],
};

// JSON has no infinity.
const plain = (key, value) => (typeof value === 'number' && !Number.isFinite(value) ? null : value);
const asked = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(await Promise.all(asked.map((each) => answers[each.what](each))), plain));
