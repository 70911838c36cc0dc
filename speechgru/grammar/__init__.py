"""Grammars: sentence templates that make training sentences, constrain a beam, and give a text its meaning.

One file says what can be said, in Home Assistant's syntax:

    language: en
    intents:
      SetLight:
        data:
          - sentences:
              - "set the {room} light[s] to {brightness} percent [please]"
    lists:
      room: {values: [kitchen, hall]}
      brightness: {range: {from: 10, to: 100, step: 10}}

`Grammar.load` reads it. A grammar draws sentences for a corpus, constrains the beam of a recogniser
(`DecodingOptions.grammar`), and reads intent and slots from a text. Its record is what a bundle carries: reading it
takes neither YAML nor the library that parsed the file.
"""

from speechgru.grammar.definition import Grammar, describe_grammar, describe_slots, own_grammars
from speechgru.grammar.sentence import Block, Intent, Sentence

__all__ = ["Block", "Grammar", "Intent", "Sentence", "describe_grammar", "describe_slots", "own_grammars"]
