// Log-probabilities: one row a step, one column a label, in one flat array that grows at its end.

export class Rows {
  /** @param {number} width columns of each row @param {Float32Array} [values] whole rows */
  constructor(width, values = new Float32Array(0)) {
    this.width = width;
    this.buffer = values;
    this.length = values.length / width;
  }

  /** Appends whole rows. */
  append(values) {
    const used = this.length * this.width, needed = used + values.length;
    if (needed > this.buffer.length) {
      const grown = new Float32Array(Math.max(needed, 2 * used));
      grown.set(this.buffer.subarray(0, used));
      this.buffer = grown;
    }
    this.buffer.set(values, used);
    this.length = needed / this.width;
  }

  at(step, label) {
    return this.buffer[step * this.width + label];
  }

  row(step) {
    return this.buffer.subarray(step * this.width, (step + 1) * this.width);
  }

  /** Rows from one step to before another, as one flat array that shares this one's memory. */
  slice(first, end = this.length) {
    return this.buffer.subarray(first * this.width, end * this.width);
  }
}

/** The column of the greatest value of a row; of equal ones the lowest. */
export function argmax(row) {
  let best = 0;
  for (let label = 1; label < row.length; label++) if (row[label] > row[best]) best = label;
  return best;
}

/** Several flat arrays as one. */
export function joined(arrays) {
  const all = new Float32Array(arrays.reduce((count, each) => count + each.length, 0));
  let at = 0;
  for (const each of arrays) {
    all.set(each, at);
    at += each.length;
  }
  return all;
}
