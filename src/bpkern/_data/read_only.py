"""Views of arrays for functions of the user, which may read them and not write."""

import numpy as np


def read_only(array: np.ndarray) -> np.ndarray:
    """The same memory as a plain array that cannot be written, nor be made writeable by its flags."""
    # NumPy lets a view become writeable again if its base is. The base of this one is a read-only buffer.
    return np.asarray(array.data.toreadonly())
