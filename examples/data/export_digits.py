"""Writes scikit-learn's digits for the examples in C, Cython and Numba.

python examples/data/export_digits.py digits.csv

Each of the 1797 lines has 64 pixels from 0 to 16 and the digit, in a random order.
"""

import sys

import numpy as np
from sklearn.datasets import load_digits

X, y = load_digits(return_X_y=True)
rows = np.column_stack((X, y)).astype(int)
np.savetxt(sys.argv[1], np.random.default_rng(0).permutation(rows), fmt="%d", delimiter=",")
