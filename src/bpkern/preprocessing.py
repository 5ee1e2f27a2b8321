"""Tables as inputs of networks: `TableEncoder` makes scaled numbers of columns of any kind.

>>> from bpkern.preprocessing import TableEncoder
>>> encoder = TableEncoder()
>>> X = encoder.fit_transform(table)
>>> model = bpkern.MLP([X.shape[1], 32, 3], loss="cross_entropy", optimizer="adam", seed=0)
>>> history = model.fit(X, y, epochs=50)
>>> model.predict(encoder.transform(new_table))

`TableModel` is a network with its encoder and the labels of its classes, also in one file. NumPy is all that
both need. Tables are DataFrames of pandas, polars, pyarrow and others, dictionaries of columns, and
two-dimensional arrays.
"""

from ._table.table_encoder import TableEncoder
from ._table.table_model import TableModel

__all__ = ["TableEncoder", "TableModel"]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)
