"""Dropout masks from Philox4x32-10, a generator without state: its output is a function of a counter.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
The counter is made of an element's row and column, its layer and the number of the mini-batch, so that masks
are the same in C and here, for any number of threads.
"""

from typing import Any

import numpy as np

# The constants of Philox4x32-10 in that paper.
ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85

# The low 32 bits of a number.
LOW = 0xFFFFFFFF

# The number of the inputs among the layers: the last one.
INPUTS = 2**16 - 1


def philox(counter, key):
    """Four arrays of 32-bit words, in uint64, from a counter of four 32-bit words and a key of two.

    The words of the counter are numbers or arrays, which are broadcast to one shape: that of the results.
    """
    words: list[Any] = [np.asarray(word, np.uint64) for word in counter]
    c0, c1, c2, c3 = words
    k0, k1 = key
    for _ in range(ROUNDS):
        # Products of 32-bit numbers, whose high and low halves go to different words.
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1 = (p1 >> 32) ^ c1 ^ k0, p1 & LOW
        c2, c3 = (p0 >> 32) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW, (k1 + KEY_STEPS[1]) & LOW
    return c0, c1, c2, c3


def words(key, batch, layer, rows, columns):
    """A 32-bit word for each element of a hidden layer: uint64, shape (rows, columns).

    Parameters
    ----------
    key : int
        64 bits.
    batch : int
        The number of the mini-batch over the model's life, from 0.
    layer : int
        0 is the first hidden layer; below 2**16, because the counter has 16 bits for it. `INPUTS` stands for
        the inputs.
    rows, columns : int
    """
    # A counter gives four words, so 64 columns take 16 counters: their first words are for the first 16
    # columns, their second words for the next 16, and so on. In C, these are vectors of 16 elements.
    blocks = -(-columns // 64)
    counter = (
        np.arange(16 * blocks),
        np.arange(rows)[:, None],
        batch & LOW,
        (batch >> 32 << 16) + layer,
    )
    outputs = np.stack(philox(counter, (key & LOW, key >> 32)))
    by_block = outputs.reshape(4, rows, blocks, 16).transpose(1, 2, 0, 3)
    return by_block.reshape(rows, 64 * blocks)[:, :columns]


def mask(p, dtype, key, batch, layer, rows, columns):
    """The factors of the activations: 0 with probability p, else 1 / (1 - p), which keeps the mean.

    Parameters
    ----------
    p : float
        From 0 to below 1.
    dtype : numpy.dtype
    key, batch, layer, rows, columns : int
        As for `words`.

    Returns
    -------
    ndarray of `dtype`, shape (rows, columns)
    """
    threshold = min(round(p * 2**32), LOW)
    kept = words(key, batch, layer, rows, columns) >= threshold
    return kept * np.asarray(1 / (1 - p), dtype)
