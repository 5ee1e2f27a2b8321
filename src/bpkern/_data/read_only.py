"""Views of arrays for functions of the user, which may read the arrays but not write into them."""

import numpy as np


def read_only(array: np.ndarray) -> np.ndarray:
    """A plain array in the same memory that cannot be written, nor made writeable by its flags."""
    # NumPy lets a view become writeable again if its base is. The base of this one is a read-only buffer.
    return np.asarray(array.data.toreadonly())
