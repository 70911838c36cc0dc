// Pieces of the pages that are made while they run.

/** An element with attributes and content; text is never HTML. */
export function element(name, attributes = {}, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content);
  return made;
}

/** Two decimals, and no sign of what is rounded to 0. */
const fixed = (value) => value.toFixed(2).replace(/^-(0\.00)$/, '$1');

/** What an utterance means: its intent and its slots, and whether it is accepted. */
export function chips({intent, slots, accepted, margin}) {
  const made = [];
  if (intent) made.push(element('span', {class: 'chip intent'}, intent));
  for (const [name, value] of Object.entries(slots)) {
    made.push(element('span', {class: 'chip'}, `${name} `, element('b', {}, String(value))));
  }
  if (accepted === false) {
    const by = margin === null ? '' : `, margin ${fixed(margin)}`;
    made.push(element('span', {class: 'chip refused'}, `not accepted${by}`));
  }
  return made;
}

const share = (value) => `${Math.round(100 * value)}\u202f%`;

/** A keyword that was said: when, and with which log-odds. */
export function keywordItem({keyword, seconds, score}) {
  return element('li', {'data-keyword': keyword, 'data-score': score},
    element('p', {class: 'line'}, keyword),
    element('p', {class: 'quiet'}, `at ${seconds.toFixed(2)}\u202fs, score ${fixed(score)}`));
}

/** An utterance that ended: text, meaning, words with times and confidence, its sound. */
export function utteranceItem(hypothesis, wav) {
  const words = hypothesis.words.map((word) => {
    const bar = element('i', {class: word.confidence < 0.6 ? 'doubtful' : ''});
    bar.style.width = share(word.confidence).replace('\u202f', '');
    const times = `${word.startSeconds.toFixed(2)}–${word.endSeconds.toFixed(2)}\u202fs · ${share(word.confidence)}`;
    return element('li', {}, word.text, element('small', {}, times), bar);
  });
  const sound = URL.createObjectURL(new Blob([wav], {type: 'audio/wav'}));
  const summary = [`confidence ${share(hypothesis.confidence)}`];
  if (hypothesis.margin !== null) summary.push(`margin ${fixed(hypothesis.margin)}`);
  return element('li', {'data-text': hypothesis.text, 'data-intent': hypothesis.intent ?? '',
    'data-slots': JSON.stringify(hypothesis.slots)},
  element('p', {class: 'line'}, hypothesis.text),
  element('p', {class: 'meaning'}, ...chips(hypothesis)),
  element('ul', {class: 'words'}, ...words),
  element('div', {class: 'sound quiet'}, element('span', {}, summary.join(', ')),
    element('audio', {controls: '', src: sound}),
    element('a', {href: sound, download: 'utterance.wav'}, 'Save the sound')));
}
