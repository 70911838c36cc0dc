// When was each label said? The most probable path that spells known labels (speechgru/decoding/alignment.py).

/**
 * Finds the most probable path that spells labels: Viterbi over blank, label, blank, ..., blank.
 *
 * Of equally probable paths the one with the lower label at the first difference is taken, as greedy decoding does.
 *
 * @param {Rows} rows log-probabilities
 * @param {number} from the first step that counts
 * @param {number[]} labels without blanks; equal neighbours are two labels with a blank between them
 * @returns {number[][]|null} for each label its first step and the step after its last; null where no path spells them
 */
export function align(rows, labels, from = 0) {
  const numSteps = rows.length - from;
  if (!labels.length) return [];
  const numStates = 2 * labels.length + 1;
  const ofState = new Int32Array(numStates);
  labels.forEach((label, place) => (ofState[2 * place + 1] = label));
  // A label may follow a different label directly; equal ones have a blank between them, else CTC merges them.
  const maySkip = (state) => state % 2 === 1 && state + 2 < numStates && ofState[state + 2] !== ofState[state];
  let needed = labels.length;
  for (let place = 1; place < labels.length; place++) needed += labels[place] === labels[place - 1];
  if (needed > numSteps) return null;

  // values[step][state]: the best path from this state at this step to the end. From the end to the start, so that the
  // walk over them meets equal paths at their first difference.
  const values = new Float64Array(numSteps * numStates).fill(-Infinity);
  for (let step = numSteps - 1; step >= 0; step--) {
    const here = step * numStates, after = here + numStates;
    for (let state = 0; state < Math.min(numStates, 2 * step + 2); state++) {
      let best = -Infinity;
      if (step === numSteps - 1) {
        if (state >= numStates - 2) best = 0;
      } else {
        best = values[after + state];
        if (state + 1 < numStates) best = Math.max(best, values[after + state + 1]);
        if (maySkip(state)) best = Math.max(best, values[after + state + 2]);
      }
      values[here + state] = best + rows.at(from + step, ofState[state]);
    }
  }
  if (Math.max(values[0], values[1]) === -Infinity) return null;

  const spans = labels.map(() => [0, 0]);
  let state = 0, reach = 2;
  for (let step = 0; step < numSteps; step++) {
    if (step) reach = maySkip(state) ? 3 : 2;
    let following = -1;
    for (let other = state; other < Math.min(state + reach, numStates); other++) {
      if (following < 0) {
        following = other;
        continue;
      }
      const one = values[step * numStates + other], best = values[step * numStates + following];
      if (one > best || (one === best && ofState[other] <= ofState[following])) following = other;
    }
    if (following % 2) {
      const span = spans[(following - 1) / 2];
      if (following !== state) span[0] = step;
      span[1] = step + 1;
    }
    state = following;
  }
  return spans.map(([start, end]) => [from + start, from + end]);
}
