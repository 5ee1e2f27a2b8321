"""python -m digits_net digits.csv"""

import sys

import numpy as np

from . import train

rows = np.loadtxt(sys.argv[1], delimiter=",", dtype=np.int64)
X, labels = (rows[:, :-1] / 16).astype(np.float32), np.ascontiguousarray(rows[:, -1])
loss, accuracy = train(X[:1437], labels[:1437], X[1437:], labels[1437:], epochs=20)
print(f"loss {loss:.4f}, accuracy on {len(X) - 1437} other digits: {accuracy:.4f}")
