"""Chance without memory: every value is a function of (seed, what it is for, which row).

Nothing is remembered from row to row, so a data set of any size is written in constant memory, any part
of it can be computed again from anywhere (an episode asks for its series' year), and all of it is the
same on every machine: only 64-bit integer arithmetic and the exactly rounded `sqrt` and `/` are used,
none of NumPy's generators, whose streams may change between versions (NEP 19).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_GOLDEN, _MIX_1, _MIX_2 = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_S27, _S30, _S31, _ONE = (np.uint64(n) for n in (27, 30, 31, 1))


class Chance:
    """The draws of one seed. A draw is uniform over 0 … 2^63 - 1."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._bases: dict[str, np.uint64] = {}

    def draw(self, purpose: str, keys: Ints) -> Ints:
        """One number per key: SplitMix64 (Steele, Lea and Flood 2014), entered at a place of its own per purpose."""
        mixed = keys.astype(np.uint64)
        mixed *= _GOLDEN
        mixed += self._base(purpose)
        mixed ^= mixed >> _S30
        mixed *= _MIX_1
        mixed ^= mixed >> _S27
        mixed *= _MIX_2
        mixed ^= mixed >> _S31
        mixed >>= _ONE
        return mixed.view(np.int64)

    def below(self, purpose: str, keys: Ints, limit: int | Ints) -> Ints:
        """Numbers from 0 to `limit` - 1."""
        return self.draw(purpose, keys) % limit

    def percent(self, purpose: str, keys: Ints, share: float | npt.NDArray[np.number]) -> Bools:
        """True for that share of the keys, in percent."""
        return self.below(purpose, keys, 10_000) < np.rint(np.multiply(share, 100))

    def pick(self, purpose: str, keys: Ints, weights: Sequence[int] | Ints) -> Ints:
        """Indexes into `weights`, each as often as its weight says."""
        ends = np.cumsum(weights)
        return np.searchsorted(ends, self.below(purpose, keys, int(ends[-1])), side="right").astype(np.int64)

    def _base(self, purpose: str) -> np.uint64:
        base = self._bases.get(purpose)
        if base is None:
            digest = hashlib.sha256(f"{self._seed}/{purpose}".encode()).digest()
            base = self._bases[purpose] = np.uint64(int.from_bytes(digest[:8], "little"))
        return base


class Shuffle:
    """A permutation of 0 … size - 1 that needs no table, in both directions.

    Bits are mixed within the next power of two (odd multipliers and xor-shifts, each of them
    invertible); a number that falls outside is mixed again until it is inside (cycle walking).
    """

    def __init__(self, chance: Chance, purpose: str, size: int) -> None:
        self.size = size
        bits = max(2, (max(size, 1) - 1).bit_length())
        self._mask = (1 << bits) - 1
        self._shift = (bits + 1) // 2
        keys = chance.draw(f"shuffle {purpose}", np.arange(3, dtype=np.int64))
        self._odd = [(int(key) & self._mask) | 1 for key in keys]
        self._inverse = [pow(odd, -1, self._mask + 1) for odd in self._odd]

    def forward(self, numbers: Ints) -> Ints:
        return self._walk(numbers, self._mix)

    def backward(self, numbers: Ints) -> Ints:
        return self._walk(numbers, self._unmix)

    def _walk(self, numbers: Ints, step: Callable[[Ints], Ints]) -> Ints:
        result = step(numbers.copy())
        outside = np.flatnonzero(result >= self.size)
        while outside.size:
            again = step(result[outside])
            result[outside] = again
            outside = outside[again >= self.size]
        return result

    def _mix(self, x: Ints) -> Ints:
        for odd in self._odd:
            x *= odd
            x &= self._mask
            x ^= x >> self._shift
        return x

    def _unmix(self, x: Ints) -> Ints:
        for inverse in reversed(self._inverse):
            x ^= x >> self._shift  # undoes itself, because the shift is at least half the bits
            x *= inverse
            x &= self._mask
        return x


@dataclass(frozen=True)
class Tier:
    """`owners` owners who have `size` places each."""

    owners: int
    size: int


@dataclass(frozen=True)
class Holdings:
    """Who owns which of a row of places: owners in rank order, tier by tier.

    A table of a few dozen tiers stands for millions of owners, and both questions (whose is this place,
    which places has this owner) are answered from it.
    """

    tiers: tuple[Tier, ...]

    @cached_property
    def _first_place(self) -> Ints:
        return np.cumsum([0, *(tier.owners * tier.size for tier in self.tiers)]).astype(np.int64)

    @cached_property
    def _first_owner(self) -> Ints:
        return np.cumsum([0, *(tier.owners for tier in self.tiers)]).astype(np.int64)

    @cached_property
    def _size(self) -> Ints:
        return np.array([tier.size for tier in self.tiers], dtype=np.int64)

    @property
    def owners(self) -> int:
        return int(self._first_owner[-1])

    @property
    def places(self) -> int:
        return int(self._first_place[-1])

    def owner(self, places: Ints) -> tuple[Ints, Ints]:
        """The owner's rank, and the number of the place among the owner's own."""
        tier = np.searchsorted(self._first_place, places, side="right") - 1
        rank, nth = np.divmod(places - self._first_place[tier], self._size[tier])
        return self._first_owner[tier] + rank, nth

    def extent(self, owners: Ints) -> tuple[Ints, Ints]:
        """The first place of each owner, and how many follow from there."""
        tier = np.searchsorted(self._first_owner, owners, side="right") - 1
        size = self._size[tier]
        return self._first_place[tier] + (owners - self._first_owner[tier]) * size, size


def holdings(places: int, top: Sequence[int], shares: Sequence[tuple[int, int]]) -> Holdings:
    """Divides `places` (all of them, and a few more to fill the last owner's) among owners.

    `top`: sizes of single large owners. `shares`: pairs of (places in percent, size of each owner); what is
    left goes to owners of the last size.
    """
    tiers = [Tier(1, size) for size in top if size > 0]
    left = places - sum(tier.size for tier in tiers)
    body = [Tier(left * share // 100 // size, size) for share, size in shares]
    tiers += [tier for tier in body if tier.owners > 0]
    rest = places - sum(tier.owners * tier.size for tier in tiers)
    last = shares[-1][1]
    if rest > 0:
        tiers.append(Tier(-(-rest // last), last))
    return Holdings(tuple(tiers))
