// From samples to frames to steps, and what one call of a streaming model covers (speechgru/lengths.py).

/** Frames of a recording; `frontEnd` has n_fft, hop_length and center. */
export function numFrames(numSamples, {n_fft, hop_length, center}) {
  if (center) return numSamples ? 1 + Math.floor(numSamples / hop_length) : 0;
  return Math.max(0, 1 + Math.floor((numSamples - n_fft) / hop_length));
}

/** Output steps of a recording: one for each begun group of frames. */
export function numSteps(numSamples, frontEnd, subsamplingFactor) {
  return Math.ceil(numFrames(numSamples, frontEnd) / subsamplingFactor);
}

/** What a call of the signature `stream` covers; the fields are those of the bundle's `stream.geometry`. */
export class StreamGeometry {
  constructor(geometry) {
    Object.assign(this, geometry);
    const before = this.center ? Math.floor(this.n_fft / 2) : 0;
    this.chunkFrames = this.chunk_steps * this.subsampling_factor;
    this.chunkSamples = this.chunkFrames * this.hop_length;
    this.framesBefore = this.subsampling_factor + this.slope_frames;
    const windowSteps = this.chunk_steps + this.lookahead_steps;
    this.windowFrames = this.framesBefore + windowSteps * this.subsampling_factor + 1 + this.slope_frames;
    this.samplesBefore = this.leading_samples + this.framesBefore * this.hop_length + before;
    const last = this.windowFrames - 1 - this.framesBefore;
    const covered = this.center
      ? Math.floor((this.n_fft - this.frame_length) / 2) + this.frame_length : this.n_fft;
    this.windowSamples = this.samplesBefore + last * this.hop_length - before + covered;
    this.contextSamples = this.windowSamples - this.chunkSamples;
    this.firstSamples = this.windowSamples - this.samplesBefore;
  }

  numSteps(numSamples) {
    return numSteps(numSamples, this, this.subsampling_factor);
  }

  /** How many calls the first `numSamples` samples suffice for, whatever follows. */
  numReadyCalls(numSamples) {
    return Math.max(0, 1 + Math.floor((numSamples - this.firstSamples) / this.chunkSamples));
  }

  /** How many calls give all steps of a recording. */
  numCalls(numSamples) {
    const steps = this.numSteps(numSamples);
    return steps ? Math.ceil((steps + this.delay_steps) / this.chunk_steps) : 0;
  }

  /** Which samples and frames of a call's window are the recording's; `numSamples` is null while more may come. */
  bounds(call, numSamples) {
    const sample = call * this.chunkSamples - this.samplesBefore;
    const frame = call * this.chunkFrames - this.framesBefore;
    let endSample = this.windowSamples, endFrame = this.windowFrames;
    if (numSamples !== null) {
      endSample = Math.min(endSample, Math.max(0, numSamples - sample));
      endFrame = Math.min(endFrame, Math.max(0, numFrames(numSamples, this) - frame));
    }
    return [Math.max(0, -sample), endSample, Math.max(0, -frame), endFrame];
  }

  /** Which of the steps that a call gives are the recording's: the first one, and the one after the last. */
  stepsOf(call, steps) {
    const first = call * this.chunk_steps - this.delay_steps;
    const end = steps === null ? this.chunk_steps : Math.min(this.chunk_steps, steps - first);
    return [Math.max(0, -first), Math.max(0, end)];
  }
}
