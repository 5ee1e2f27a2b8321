"""`TableEncoder` on 2 million rows of 20 columns of numbers and 10 of categories, and scikit-learn's way.

python bench/tables.py [--rows 2000000] [--text]

prints rows per second of fit and transform, and the peak of memory beyond the table during transform. With
--text, the categories are a column of Python strings each; otherwise pandas' categoricals.
"""

import argparse
import time
import tracemalloc

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bpkern.preprocessing import TableEncoder


def table(rows, as_text):
    rng = np.random.default_rng(0)
    columns = {f"n{i}": rng.lognormal(size=rows) for i in range(20)}
    for i in range(10):
        names = np.array([f"category {j}" for j in range(3 + 2 * i)], dtype=object)
        values = names[rng.integers(0, len(names), rows)]
        columns[f"c{i}"] = pd.Series(values, dtype=object if as_text else "category")
    return pd.DataFrame(columns)


def timed(call):
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--text", action="store_true")
    options = parser.parse_args()
    frame = table(options.rows, options.text)
    size = frame.memory_usage(deep=False).sum()
    numbers, categories = list(frame.columns[:20]), list(frame.columns[20:])
    rivals = {
        "TableEncoder": TableEncoder(),
        "TableEncoder, standard": TableEncoder(scaling="standard"),
        "TableEncoder, codes": TableEncoder(max_one_hot=8),
        "ColumnTransformer": ColumnTransformer(
            [
                ("numbers", StandardScaler(), numbers),
                (
                    "categories",
                    OneHotEncoder(sparse_output=False, handle_unknown="ignore", dtype=np.float32),
                    categories,
                ),
            ]
        ),
    }
    for name, encoder in rivals.items():
        fit, _ = timed(lambda encoder=encoder: encoder.fit(frame))
        transform, result = timed(lambda encoder=encoder: encoder.transform(frame))
        bytes_out, shape = result.nbytes, result.shape
        del result
        part = frame.iloc[: len(frame) // 4]
        tracemalloc.start()
        encoder.transform(part)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        beyond = (peak - bytes_out / 4) / (size / 4)
        print(
            f"{name:24} fit {len(frame) / fit / 1e6:5.2f}, transform {len(frame) / transform / 1e6:5.2f} "
            "million rows/s; "
            f"{shape[1]} columns, memory beyond the result {100 * beyond:.0f} % of the table",
            flush=True,
        )


if __name__ == "__main__":
    main()
