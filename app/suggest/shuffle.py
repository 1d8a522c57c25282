"""A random order of 0 ... n - 1 that is computed, not stored."""

from __future__ import annotations

import numpy as np

_ROUNDS = 6


class Shuffle:
    """A permutation drawn from a seed: entry k costs O(1), whatever the size.

    A Feistel network over the next power of four (Luby & Rackoff 1988), walked on until it falls
    into range (Black & Rogaway 2002): a bijection for any keys.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._bits = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
        keys = np.random.default_rng([seed, size & 0xFFFFFFFF]).integers(1 << 62, size=_ROUNDS)
        self._keys = [int(key) | 1 for key in keys]

    def __getitem__(self, k: int) -> int:
        """Entry `k` of the order, 0 <= k < size."""
        number = self._encrypt(k)
        while number >= self._size:
            number = self._encrypt(number)
        return number

    def _encrypt(self, number: int) -> int:
        mask = (1 << self._bits) - 1
        left, right = number >> self._bits, number & mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & mask)
        return left << self._bits | right


def _mix(x: int) -> int:
    """Scatters the bits of an integer (the finaliser of splitmix64; Steele et al. 2014)."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    x = (x ^ x >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return x ^ x >> 31
