"""Small language models for tests, and one written from the definition, to hold the others against."""

from __future__ import annotations

import math
import random

TOY = r"""
\data\
ngram 1=6
ngram 2=6
ngram 3=3

\1-grams:
-1.2	<unk>	-0.1
-99	<s>	-0.3
-0.9	</s>
-0.7	a	-0.25
-0.8	b	-0.2
-1.0	ab	-0.4

\2-grams:
-0.2	<s> a	-0.15
-0.5	a ab	-0.05
-0.6	ab b
-0.3	b </s>
-0.4	ab a	-0.01
-0.33	b ab	-0.02

\3-grams:
-0.1	<s> a ab
-0.11	a ab b
-0.12	b ab a

\end\
"""


class Definition:
    """An ARPA file as its definition says: the longest n-gram, and a backoff for each word of context dropped before.

    Args:
        text: the file's.
    """

    def __init__(self, text):
        self.log_probs, self.backoffs = {}, {}
        order = 0
        for line in text.splitlines():
            fields = line.split()
            if not fields or fields[0] == "ngram":
                continue
            if fields[0].startswith("\\"):
                order = int(fields[0][1]) if fields[0][1].isdigit() else 0
                continue
            words = tuple(fields[1 : order + 1])
            self.log_probs[words] = float(fields[0]) * math.log(10)
            if len(fields) > order + 1:
                self.backoffs[words] = float(fields[order + 1]) * math.log(10)
        self.order = max(map(len, self.log_probs))

    def log_prob(self, context, word):
        """log p(word | context), unknown words by their mark."""
        word = word if (word,) in self.log_probs else "<unk>"
        context = tuple(each if (each,) in self.log_probs else "<unk>" for each in context)
        context = context[len(context) - min(len(context), self.order - 1) :]
        found = self.log_probs.get((*context, word))
        if found is not None:
            return found
        return self.backoffs.get(context, 0.0) + self.log_prob(context[1:], word)

    def scores(self, text):
        """Of each word of a text, and of its end."""
        words = ["<s>", *text.split(), "</s>"]
        return [self.log_prob(tuple(words[:place]), words[place]) for place in range(1, len(words))]


def made_texts(count=400):
    """Texts by a random walk over 60 words, some rare words among them; some are empty."""
    rng = random.Random(20)
    after = {word: rng.choices(range(60), k=8) for word in range(60)}
    texts = []
    for _ in range(count):
        words, word = [], rng.randrange(60)
        for _ in range(rng.randrange(0, 12)):
            word = rng.choice(after[word]) if rng.random() < 0.9 else rng.randrange(60)
            words.append(f"w{word}" if rng.random() < 0.95 else f"rare{int(rng.paretovariate(0.5)) % 200}")
        texts.append(" ".join(words))
    return texts
