// What a model can write: characters, subwords or words, label 0 being the blank (speechgru/text/vocabulary.py).

const WORD_BEGINNING = '\u2581'; // what a subword begins with that begins a word; by itself it is a space

export class Vocabulary {
  /** @param {{unit: string, entries: string[]}} record of the bundle; entries are in label order, from label 1 */
  constructor({unit, entries}) {
    this.unit = unit;
    this.written = unit === 'subword' ? entries.map((entry) => entry.replace(WORD_BEGINNING, ' ')) : entries;
    this.numColumns = entries.length + 1;
    this.space = unit === 'word' ? 0 : this.written.indexOf(' ') + 1; // 0: it has none
  }

  /** What a label adds to a text. */
  write(label) {
    return this.written[label - 1];
  }

  /** Labels, repeats merged and blanks dropped, as text. */
  decode(labels) {
    const text = labels.map((label) => this.write(label)).join(this.unit === 'word' ? ' ' : '');
    return this.unit === 'subword' ? text.split(' ').filter(Boolean).join(' ') : text;
  }

  /** Where the words of labels are: of each the place of its first label and the one after its last. */
  wordSpans(labels) {
    if (this.unit === 'word') return labels.map((_, place) => [place, place + 1]);
    if (this.unit === 'subword') return this.#spansOfPieces(labels);
    const spans = [];
    let first = 0;
    for (let place = 0; place <= labels.length; place++) {
      if (place < labels.length && labels[place] !== this.space) continue;
      if (place > first) spans.push([first, place]);
      first = place + 1;
    }
    return spans;
  }

  /** A word goes from each piece that begins one to the next, where they write more than a space. */
  #spansOfPieces(labels) {
    const begins = labels.map((_, place) => place).filter((place) => !place || this.write(labels[place])[0] === ' ');
    const spans = begins.map((first, number) => [first, begins[number + 1] ?? labels.length]);
    return spans.filter(([first, after]) => after > first + 1 || labels[first] !== this.space);
  }
}
