// Whether a recording of a prompt is good enough to keep, judged at once (speechgru/recording/quality.py).

const SHORTEST_SECONDS = 0.1;
const SILENT_BELOW_DB = -60, QUIET_BELOW_DB = -30;
const CLIPPED_FROM = 0.998, CLIPPED_SHARE = 0.005, CLIPPED_RUN = 3;
const EDGE_SECONDS = 0.04, EDGE_BELOW_DB = 14;
const SECONDS_AROUND = 3, SECONDS_A_WORD = 1.5;

export const decibels = (value) => 20 * Math.log10(Math.max(value, 1e-5));

/**
 * @param {Float32Array} samples @param {number} sampleRate Hz @param {string} text what was to be read
 * @returns {{seconds: number, peakDb: number, problem: string, suspicions: string[]}} `problem`: why nobody could
 *   learn from it, empty where there is none; `suspicions`: what else is wrong, it can be kept all the same
 */
export function judge(samples, sampleRate, text) {
  const seconds = samples.length / sampleRate, mean = samples.reduce((sum, value) => sum + value, 0) / samples.length;
  const peak = samples.reduce((most, value) => Math.max(most, Math.abs(value - mean)), 0), peakDb = decibels(peak);
  const found = {seconds, peakDb, problem: '', suspicions: []};
  if (seconds < SHORTEST_SECONDS) found.problem = 'It is too short. Stop it after the last word.';
  else if (peakDb < SILENT_BELOW_DB) found.problem = 'It is silent. Is this the right microphone, and is it on?';
  if (found.problem) return found;
  if (clippedShare(samples) >= CLIPPED_SHARE) {
    found.suspicions.push('It is too loud: its peaks are cut off. Move back, or turn the microphone down.');
  }
  if (peakDb < QUIET_BELOW_DB) {
    found.suspicions.push(`It is quiet (loudest at ${peakDb.toFixed(0)} dB). Come closer, or turn the microphone up.`);
  }
  if (seconds > SECONDS_AROUND + SECONDS_A_WORD * text.split(/\s+/).length) {
    found.suspicions.push(`It is ${seconds.toFixed(1)} s long. Stop it soon after the last word.`);
  }
  return {...found, suspicions: [...found.suspicions, ...edges(samples, sampleRate)]};
}

/** The share of samples in runs at full scale: cut-off peaks are flat. */
function clippedShare(samples) {
  let clipped = 0, run = 0;
  for (const value of [...samples, 0]) {
    if (Math.abs(value) >= CLIPPED_FROM) {
      run++;
    } else {
      if (run >= CLIPPED_RUN) clipped += run;
      run = 0;
    }
  }
  return clipped / samples.length;
}

/** Whether speech was going on when the recording began or ended. */
function edges(samples, sampleRate) {
  const length = Math.max(1, Math.round(EDGE_SECONDS * sampleRate)), count = Math.floor(samples.length / length);
  if (count < 3) return [];
  const level = (start) => {
    const frame = samples.subarray(start, start + length), mean = frame.reduce((sum, value) => sum + value, 0) / length;
    return decibels(Math.sqrt(frame.reduce((sum, value) => sum + (value - mean) ** 2, 0) / length));
  };
  const levels = Array.from({length: count}, (_, number) => level(number * length));
  const limit = Math.max(...levels) - EDGE_BELOW_DB, said = [];
  if (levels[0] > limit) said.push('It begins in the middle of speech. Wait a moment before the first word.');
  if (level(samples.length - length) > limit) {
    said.push('It ends in the middle of speech. Wait a moment after the last word.');
  }
  return said;
}
