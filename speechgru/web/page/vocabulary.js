// What a model can write: characters or words, label 0 being the blank (speechgru/text/vocabulary.py).

export class Vocabulary {
  /** @param {{unit: string, entries: string[]}} record of the bundle; entries are in label order, from label 1 */
  constructor({unit, entries}) {
    this.unit = unit;
    this.entries = entries;
    this.numColumns = entries.length + 1;
    this.space = unit === 'character' ? entries.indexOf(' ') + 1 : 0; // 0: it has none
  }

  /** What a label writes. */
  write(label) {
    return this.entries[label - 1];
  }

  /** Labels, repeats merged and blanks dropped, as text. */
  decode(labels) {
    return labels.map((label) => this.write(label)).join(this.unit === 'word' ? ' ' : '');
  }

  /** Where the words of labels are: of each the place of its first label and the one after its last. */
  wordSpans(labels) {
    if (this.unit === 'word') return labels.map((_, place) => [place, place + 1]);
    const spans = [];
    let first = 0;
    for (let place = 0; place <= labels.length; place++) {
      if (place < labels.length && labels[place] !== this.space) continue;
      if (place > first) spans.push([first, place]);
      first = place + 1;
    }
    return spans;
  }
}
