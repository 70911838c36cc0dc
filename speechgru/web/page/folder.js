// What the studio saves: a folder as `speechgru record` writes it (speechgru/recording/corpus.py), as one ZIP file.
import {writeWav} from './sound.js';
import {zip} from './zip.js';

const ENCODER = new TextEncoder();

/** A name that files, shells and command lines have no trouble with. @param {string} speaker */
export function folderName(speaker) {
  return speaker.normalize('NFC').replace(/[^\p{L}\p{M}\p{N}_-]+/gu, '-').replace(/^-+|-+$/g, '') || 'me';
}

/**
 * @param {object} recorded
 * @param {string} recorded.speaker who speaks
 * @param {Array<{text: string, intent: ?string, slots: object}>} recorded.prompts all that was to be read
 * @param {Array<[number, Float32Array]>} recorded.kept places of prompts, and what was recorded of them
 * @param {number} recorded.sampleRate Hz
 * @param {Uint8Array} recorded.grammar the file that the prompts are from
 * @returns {{name: string, content: Blob}} the folder's name, and a ZIP file of it; paths in it are relative
 */
export function packedFolder({speaker, prompts, kept, sampleRate, grammar}) {
  const folder = folderName(speaker), ordered = [...kept].sort(([one], [other]) => one - other);
  const name = (place) => `audio/${String(place + 1).padStart(4, '0')}.wav`;
  const lines = ordered.map(([place, samples]) => JSON.stringify({
    audio_filepath: name(place), duration: samples.length / sampleRate, text: prompts[place].text, speaker,
    prompt: place + 1, intent: prompts[place].intent, slots: prompts[place].slots,
  }));
  return {name: folder, content: zip([
    [`${folder}/prompts.txt`, ENCODER.encode(prompts.map(({text}) => `${text}\n`).join(''))],
    [`${folder}/grammar.json`, grammar],
    [`${folder}/recordings.jsonl`, ENCODER.encode(lines.map((line) => `${line}\n`).join(''))],
    ...ordered.map(([place, samples]) => [`${folder}/${name(place)}`, new Uint8Array(writeWav(samples, sampleRate))]),
  ])};
}
