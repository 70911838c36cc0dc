"""One corpus packed by many machines: who packs which utterances."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from speechgru.config.sections import RunConfig
from speechgru.errors import ConfigError
from speechgru.utterances.manifest import Utterance
from speechgru.utterances.rules import RULES


@dataclass(frozen=True)
class Part:
    """One of several parts of a corpus, each a run of utterances of about as many seconds.

    Args:
        number: from 1 on.
        of: parts in all.

    Example:
        >>> Part.parse("3/16").folder
        'part-00003-of-00016'
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Reads `3/16`.

        Raises:
            ConfigError: it is something else.
        """
        found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise ConfigError(f"a part is NUMBER/ALL, from 1/16 to 16/16 of 16, got {text!r:.40}")
        return cls(int(found[1]), int(found[2]))

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"part-{self.number:05d}-of-{self.of:05d}"

    def require_alone(self, config: RunConfig) -> None:
        """Refuses rules that compare utterances with others, which another part may have.

        Raises:
            ConfigError: `check.leave_out` names such a rule.
        """
        comparing = [rule.name for rule in RULES if rule.compare is not None and rule.name in config.check.leave_out]
        if comparing:
            raise ConfigError(
                f"--part packs a part of the utterances, and check.leave_out: [{', '.join(comparing)}] compares all of "
                "them; leave those out once with `speechgru check --out`, and pack the clean manifest with "
                "check.leave_out=[]"
            )

    def range_of(self, utterances: Sequence[Sequence[Utterance]]) -> tuple[int, int]:
        """The places of its first utterance and of the one behind its last, of all manifests' together."""
        ends = list(itertools.accumulate(max(line.duration, 1e-3) for lines in utterances for line in lines))
        first, last = (
            bisect.bisect_left(ends, ends[-1] * number / self.of) for number in (self.number - 1, self.number)
        )
        return (first + 1 if self.number > 1 else 0), (len(ends) if self.number == self.of else last + 1)

    def share(self, utterances: Sequence[Sequence[Utterance]]) -> list[list[Utterance]]:
        """Its utterances, by manifest."""
        start, end = self.range_of(utterances)
        starts = itertools.accumulate((len(lines) for lines in utterances), initial=0)
        return [
            list(lines[max(0, start - begin) : max(0, end - begin)])
            for lines, begin in zip(utterances, starts, strict=False)
        ]

    def as_record(self, utterances: Sequence[Sequence[Utterance]], config: RunConfig) -> dict[str, int | float]:
        """What the summary of a part says of it: its place, and what merging asks of all parts together."""
        start, end = self.range_of(utterances)
        share = config.data.max_skipped_share
        return {"number": self.number, "of": self.of, "first": start, "count": end - start, "max_skipped_share": share}
