"""Stateless randomness: every value is a function of (seed, purpose, row).

No state is carried from row to row, so a data set of any size needs constant memory, and any part can be recomputed (an
episode looks up the year of its series). Results are equal on every machine: only 64-bit integer arithmetic and the
exactly rounded `sqrt` and `/` are used, not NumPy's generators, whose streams may change between versions (NEP 19).
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
    """Draws of one seed. A draw is uniform over 0 … 2^63 - 1."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._bases: dict[str, np.uint64] = {}

    def draw_numbers(self, purpose: str, keys: Ints) -> Ints:
        """Draw one number per key by SplitMix64 (Steele, Lea and Flood 2014), with its own offset per purpose."""
        mixed = keys.astype(np.uint64)
        mixed *= _GOLDEN
        mixed += self._derive_base(purpose)
        mixed ^= mixed >> _S30
        mixed *= _MIX_1
        mixed ^= mixed >> _S27
        mixed *= _MIX_2
        mixed ^= mixed >> _S31
        mixed >>= _ONE
        return mixed.view(np.int64)

    def draw_below(self, purpose: str, keys: Ints, limit: int | Ints) -> Ints:
        """Draw numbers from 0 to `limit` - 1."""
        return self.draw_numbers(purpose, keys) % limit

    def draw_percent(self, purpose: str, keys: Ints, share: float | npt.NDArray[np.number]) -> Bools:
        """Draw booleans that are true for `share` percent of the keys."""
        return self.draw_below(purpose, keys, 10_000) < np.rint(np.multiply(share, 100))

    def pick_weighted(self, purpose: str, keys: Ints, weights: Sequence[int] | Ints) -> Ints:
        """Draw indexes into `weights` with these weights."""
        ends = np.cumsum(weights)
        return np.searchsorted(ends, self.draw_below(purpose, keys, int(ends[-1])), side="right").astype(np.int64)

    def _derive_base(self, purpose: str) -> np.uint64:
        base = self._bases.get(purpose)
        if base is None:
            digest = hashlib.sha256(f"{self._seed}/{purpose}".encode()).digest()
            base = self._bases[purpose] = np.uint64(int.from_bytes(digest[:8], "little"))
        return base


class Shuffle:
    """An invertible permutation of 0 … size - 1 without a table.

    Bits are mixed within the next power of two by invertible steps (odd multipliers and xor-shifts); a result out of
    range is mixed again until it is in range (cycle walking).
    """

    def __init__(self, chance: Chance, purpose: str, size: int) -> None:
        self.size = size
        bits = max(2, (max(size, 1) - 1).bit_length())
        self._mask = (1 << bits) - 1
        self._shift = (bits + 1) // 2
        keys = chance.draw_numbers(f"shuffle {purpose}", np.arange(3, dtype=np.int64))
        self._odd = [(int(key) & self._mask) | 1 for key in keys]
        self._inverse = [pow(odd, -1, self._mask + 1) for odd in self._odd]

    def map_forward(self, numbers: Ints) -> Ints:
        """Apply the permutation to numbers below `size`."""
        return self._walk_cycle(numbers, self._mix_bits)

    def map_backward(self, numbers: Ints) -> Ints:
        """Apply the inverse permutation."""
        return self._walk_cycle(numbers, self._unmix_bits)

    def _walk_cycle(self, numbers: Ints, step: Callable[[Ints], Ints]) -> Ints:
        result = step(numbers.copy())
        outside = np.flatnonzero(result >= self.size)
        while outside.size:
            again = step(result[outside])
            result[outside] = again
            outside = outside[again >= self.size]
        return result

    def _mix_bits(self, x: Ints) -> Ints:
        for odd in self._odd:
            x *= odd
            x &= self._mask
            x ^= x >> self._shift
        return x

    def _unmix_bits(self, x: Ints) -> Ints:
        for inverse in reversed(self._inverse):
            x ^= x >> self._shift  # its own inverse, because the shift is at least half the bits
            x *= inverse
            x &= self._mask
        return x


@dataclass(frozen=True)
class Tier:
    """A group of `owners` owners with `size` places each."""

    owners: int
    size: int


@dataclass(frozen=True)
class Holdings:
    """Ownership of consecutive places, by owners in rank order, tier by tier.

    A few dozen tiers represent millions of owners, and answer both lookups: the owner of a place, and the places of an
    owner.
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
        """Number of owners."""
        return int(self._first_owner[-1])

    @property
    def places(self) -> int:
        """Number of places."""
        return int(self._first_place[-1])

    def find_owner(self, places: Ints) -> tuple[Ints, Ints]:
        """Return the rank of the owner of each place, and the index of the place among those of the owner."""
        tier = np.searchsorted(self._first_place, places, side="right") - 1
        rank, nth = np.divmod(places - self._first_place[tier], self._size[tier])
        return self._first_owner[tier] + rank, nth

    def find_extent(self, owners: Ints) -> tuple[Ints, Ints]:
        """Return the first place of each owner and the number of its places."""
        tier = np.searchsorted(self._first_owner, owners, side="right") - 1
        size = self._size[tier]
        return self._first_place[tier] + (owners - self._first_owner[tier]) * size, size


def divide_places(places: int, top: Sequence[int], shares: Sequence[tuple[int, int]]) -> Holdings:
    """Divide `places` among owners; the last owner may exceed them by a few.

    `top` are the sizes of single large owners. `shares` are pairs of (percent of the places, size of each owner); the
    rest goes to owners of the last size.
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
