"""Dividing recordings into train, dev and test, so that shares are kept as far as speakers allow."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Set

SPLITS = ("train", "dev", "test")


def divide(
    sizes: Mapping[str, int], shares: Mapping[str, float], *, seed: int, kept: Mapping[str, str]
) -> dict[str, str]:
    """Deals units, such as speakers, to the splits.

    Units come in the order of a hash of their names and the seed, so that the same ones are dealt alike everywhere. One
    goes to test, and of the rest to dev, where that brings the split closer to its share of all recordings; what is
    left is train. Each split gets a unit, and test and dev a small one where all are larger than their shares.

    Args:
        sizes: how many recordings each unit has; three units or more.
        shares: of all recordings, for `dev` and `test`.
        seed: another seed, another order.
        kept: the split that a unit was dealt to before, and stays in.

    Returns:
        The split of every unit.

    Example:
        >>> divide({"ada": 60, "bob": 2, "eve": 2}, {"dev": 0.1, "test": 0.1}, seed=0, kept={})["ada"]
        'train'
    """
    split_of = {unit: split for unit, split in kept.items() if unit in sizes}
    order = sorted(sizes.keys() - split_of.keys(), key=lambda unit: _hash(unit, seed))
    totals = dict.fromkeys(SPLITS, 0)
    for unit, split in split_of.items():
        totals[split] += sizes[unit]
    whole = sum(sizes.values())
    for split in ("test", "dev"):
        target = shares[split] * whole
        # The other splits that have nothing yet need a unit each.
        spare = len(order) - sum(1 for other in SPLITS if other != split and not totals[other])
        chosen: dict[str, str] = {}
        for unit in order:
            is_closer = abs(totals[split] + sizes[unit] - target) < abs(totals[split] - target)
            if len(chosen) < spare and is_closer:
                chosen[unit] = split
                totals[split] += sizes[unit]
        if not totals[split] and order:
            smallest = min(order, key=sizes.__getitem__)
            chosen[smallest] = split
            totals[split] += sizes[smallest]
        split_of |= chosen
        order = [unit for unit in order if unit not in chosen]
    return split_of | dict.fromkeys(order, "train")


def deal_folds(sizes: Mapping[str, int], num_folds: int, *, seed: int) -> dict[str, int]:
    """Deals units to folds of about equally many recordings: the largest first, each to the smallest fold so far.

    Args:
        sizes: how many recordings each unit has; as many units as folds, or more.
        num_folds: folds.
        seed: another seed, another order among units of one size.

    Returns:
        The fold of every unit, from 1; each fold has a unit.

    Example:
        >>> sorted(deal_folds({"ada": 3, "bob": 2, "eve": 1}, 2, seed=0).items())
        [('ada', 1), ('bob', 2), ('eve', 2)]
    """
    totals = dict.fromkeys(range(1, num_folds + 1), 0)
    fold_of = {}
    for unit in sorted(sizes, key=lambda unit: (-sizes[unit], _hash(unit, seed))):
        fold_of[unit] = min(totals, key=totals.__getitem__)
        totals[fold_of[unit]] += sizes[unit]
    return fold_of


def choose_by_name(names: Set[str], share: float) -> set[str]:
    """A share of units, such as speakers, each decided by its own name, so that nobody changes sides whoever is there.

    Of few units the one nearest to the share is chosen, where none is within it; of one alone none.

    Args:
        names: the units.
        share: of them, 0 to 1.

    Example:
        >>> choose_by_name({"ada", "bob", "eve"}, 0.01), choose_by_name({"ada"}, 0.5)
        ({'bob'}, set())
    """
    places = {each: int.from_bytes(hashlib.sha256(each.encode()).digest()[:8], "big") / 2**64 for each in names}
    chosen = {each for each, place in places.items() if place < share}
    if not share or chosen or len(names) < 2:
        return chosen if len(chosen) < len(names) else set()
    return {min(places, key=lambda each: places[each])}


def _hash(unit: str, seed: int) -> bytes:
    # One form of accented letters, because a Mac writes names in another.
    return hashlib.sha256(f"{seed}\0{unicodedata.normalize('NFC', unit)}".encode()).digest()
