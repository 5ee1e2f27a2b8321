"""`TableEncoder`: its parameters, its checks of columns, and what scikit-learn expects of it."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np

from .. import _checks
from .._arguments import proposes_arguments
from .columns import check_columns, check_not_empty
from .encoded_rows import EncodedTable
from .encoder_state import Arrays, Config, encoding_of_plain, plain_encoding
from .encoding import Category, Encoding, Number
from .fitting import Choices, encoding_of
from .frames import Frame, as_frame
from .scaling import SCALINGS


class TableEncoder:
    """Numbers scaled, categories as columns or codes, gaps filled: a table as a matrix of float32.

    It has scikit-learn's methods for a Pipeline, `clone` and searches, and does not need scikit-learn.

    >>> encoder = TableEncoder()
    >>> X = encoder.fit_transform(table)
    >>> encoder.get_feature_names_out()

    Parameters
    ----------
    scaling : {"robust", "standard", "quantile"}
        Of numbers. "robust" is RealMLP's: ``s = (x - median) / (difference of the quartiles)``, or half of
        maximum minus minimum if the quartiles are equal, and then ``s / sqrt(1 + (s / 3)**2)``, which is
        between -3 and 3. It also scales one-hot columns in this way. "standard" makes the mean 0 and the
        standard deviation 1. "quantile" makes the distribution normal, by at most 1000 quantiles.
    categorical : sequence of str or int
        Further columns whose values are categories, by name or number: whole numbers such as codes of
        places. Texts, categoricals and booleans always are.
    max_one_hot : int, optional
        Columns with more categories become one column of codes, for embeddings. None makes all one-hot.
    max_categories : int, optional
        The most categories of a column; only the most frequent are kept, others count as unknown.

    Attributes
    ----------
    feature_names_in_ : ndarray of str
        The names of the table's columns; only if it has names.
    n_features_in_ : int
        The number of the table's columns.
    categories_ : dict of int to list
        By number of the table's column, its categories in order.
    left_out_ : list of int
        The columns of which nothing is used: they are constant, or empty.
    codes_ : dict of int to int
        By number of the result's column that holds codes, how many codes there are, 0 included.

    Raises
    ------
    ValueError, TypeError
        Not by the constructor: `fit` checks the parameters.

    Notes
    -----
    The result has these columns: the numbers that vary; for each column of numbers with gaps in `fit`, one
    that is 1 in a gap and 0 elsewhere; the one-hot columns; and the codes. A gap in numbers becomes 0, which
    is the median ("robust", "quantile") or the mean. Gaps are None, NaN, NaT and pandas' NA.

    Two categories become one column: -1 for the first, 1 for the second in order. A category that is missing,
    or unknown in `transform`, is 0 there, "off" in all one-hot columns, and code 0; the codes of categories
    begin at 1. One category and gaps are one column, 1 and -1.

    `fit` reads one column at a time; `transform` reads and writes blocks of rows. Pickles and files hold
    numbers, texts and builtin containers alone.
    """

    __module__ = "bpkern.preprocessing"  # where users import it, and pickles find it

    @proposes_arguments("TableEncoder")
    def __init__(
        self,
        *,
        scaling: str = "robust",
        categorical: Iterable[str | int] = (),
        max_one_hot: int | None = None,
        max_categories: int | None = None,
    ) -> None:
        self.scaling = scaling
        self.categorical = categorical
        self.max_one_hot = max_one_hot
        self.max_categories = max_categories

    # Fitting ------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the scales and the categories of a table.

        Parameters
        ----------
        X : table, shape (n, columns)
            A DataFrame of pandas, polars, pyarrow or a library with the same methods or Arrow's stream; a
            dictionary of columns; an array of numbers, texts or objects.
        y : object
            Ignored.

        Returns
        -------
        TableEncoder
            This one.

        Raises
        ------
        ValueError, TypeError
            For parameters that are not allowed; for columns of dates, of several kinds of values, of
            infinity, and of too many categories. It names the column and, for a value, the row from 0.
        """
        self._fit(as_frame(X))
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """As `fit`, and then `transform`.

        Parameters
        ----------
        X : table, shape (n, columns)
            As for `fit`.
        y : object
            Ignored.

        Returns
        -------
        ndarray of float32, shape (n, results)
            As from `transform`.
        """
        frame = as_frame(X)
        self._fit(frame)
        return self._fitted().transform(frame)

    def _fit(self, frame: Frame) -> None:
        choices = self._choices(frame)
        check_not_empty(frame)
        self._keep(encoding_of(frame, choices), frame.names)

    def _choices(self, frame: Frame) -> Choices:
        """The parameters, checked."""
        if isinstance(self.categorical, (str, bytes)) or not isinstance(self.categorical, Iterable):
            raise TypeError(f"categorical must be a sequence of columns, not {self.categorical!r}")
        names = frame.names or []
        chosen = set()
        for column in self.categorical:
            if isinstance(column, str):
                if column not in names:
                    raise ValueError(f"categorical names {column!r}, which is no column of X")
                chosen.add(names.index(column))
            else:
                chosen.add(_checks.whole("a column of categorical", column, 0, frame.width - 1))
        limits = [
            None if limit is None else _checks.whole(name, limit, at_least)
            for name, limit, at_least in (
                ("max_one_hot", self.max_one_hot, 0),
                ("max_categories", self.max_categories, 1),
            )
        ]
        return Choices(_checks.one_of("scaling", self.scaling, SCALINGS), frozenset(chosen), *limits)

    def _keep(self, encoding: Encoding, names: list[str] | None) -> None:
        self._encoding = encoding
        self.n_features_in_ = len(encoding.columns)
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _fitted(self) -> Encoding:
        try:
            return self._encoding
        except AttributeError:
            pass
        message = (
            f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate arguments "
            "before using this estimator."
        )
        if "sklearn.exceptions" in sys.modules:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(message)
        raise ValueError(message)

    # Results ------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> np.ndarray:
        """A table with the columns of `fit` as a matrix.

        Parameters
        ----------
        X : table, shape (n, columns)
            As for `fit`, with the same columns in the same order. An array has no names to compare.

        Returns
        -------
        ndarray of float32, shape (n, results)
            The columns that the notes of the class describe.

        Raises
        ------
        ValueError, TypeError
            For other columns, values of another kind than in `fit`, and infinity. The message names the
            column.
        """
        return self._fitted().transform(self.__bpkern_frame__(X))

    def __bpkern_frame__(self, X: Any) -> Frame:
        """A table with the columns of `fit`."""
        self._fitted()
        frame = as_frame(X)
        check_columns(frame, self._names(), self.n_features_in_, type(self).__name__)
        return frame

    def _names(self) -> list[str] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else list(names)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the result's columns.

        Parameters
        ----------
        input_features : sequence of str, optional
            The names of the table's columns, if it had none; otherwise the same ones.

        Returns
        -------
        ndarray of str
            "age" is a number or codes, "age_missing" its indicator, "colour_red" the column of a category;
            without names, "x0", "x1", ....

        Raises
        ------
        ValueError
            For other names than those of `fit`, and before `fit`.
        """
        encoding, names = self._fitted(), self._names()
        if input_features is not None:
            given = [str(name) for name in input_features]
            if names is not None and given != names:
                raise ValueError("input_features is not equal to feature_names_in_")
            if len(given) != self.n_features_in_:
                raise ValueError(
                    f"input_features should have length equal to number of features ({self.n_features_in_}), "
                    f"got {len(given)}"
                )
            names = given
        if names is None:
            names = [f"x{place}" for place in range(self.n_features_in_)]
        return np.array(encoding.names(names), dtype=object)

    @property
    def categories_(self) -> dict[int, list[Any]]:
        """By number of the table's column, its categories in order."""
        columns = enumerate(self._fitted().columns)
        return {place: list(column.categories) for place, column in columns if isinstance(column, Category)}

    @property
    def left_out_(self) -> list[int]:
        """The columns of which nothing is used."""
        return self._fitted().left_out

    @property
    def codes_(self) -> dict[int, int]:
        """By number of the result's column that holds codes, how many codes there are."""
        return self._fitted().code_counts

    # As scikit-learn's transformers ---------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name.

        Parameters
        ----------
        deep : bool
            Ignored.

        Returns
        -------
        dict of str to object
            The arguments of the constructor.
        """
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **parameters: Any) -> Self:
        """Change parameters; `fit` checks them.

        Parameters
        ----------
        **parameters
            New values by name.

        Returns
        -------
        TableEncoder
            This one.

        Raises
        ------
        ValueError
            For a name that is no parameter.
        """
        for name in parameters:
            if name not in _PARAMETERS:
                raise _checks.unknown("parameter of TableEncoder", name, _PARAMETERS)
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=["float32"]),
            input_tags=InputTags(two_d_array=True, allow_nan=True, categorical=True, string=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_encoding")

    def __repr__(self) -> str:
        given = [f"{name}={getattr(self, name)!r}" for name in _PARAMETERS if not self._is_default(name)]
        return f"{type(self).__name__}({', '.join(given)})"

    def _is_default(self, name: str) -> bool:
        value = getattr(self, name)
        if name == "scaling":
            return bool(value == "robust")
        return value is None or (isinstance(value, (list, tuple)) and not value)

    # Pickles and files --------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Parameters and attributes, with the fitted state as builtin containers and arrays."""
        state = {name: value for name, value in vars(self).items() if name != "_encoding"}
        if hasattr(self, "_encoding"):
            config, arrays = plain_encoding(self._encoding, self._names())
            state["_encoding"] = {"config": config, "arrays": arrays}
        return state

    def __bpkern_matrix__(self, frame: Frame) -> np.ndarray:
        """As `transform`, of a table whose columns are known to be those of `fit`."""
        return self._fitted().transform(frame)

    def __bpkern_table__(self, frame: Frame) -> EncodedTable:
        """The rows of `__bpkern_matrix__`, computed when they are needed."""
        return EncodedTable(self._fitted(), frame)

    def __bpkern_by_blocks__(self, frame: Frame, predict: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """``predict(matrix)`` of `__bpkern_matrix__`, of a block of its rows at a time."""
        found = [predict(block) for block in self._fitted().blocks(frame)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def __bpkern_numbers__(self) -> int:
        """How many columns of the result are scaled numbers: they are the first."""
        return self._fitted().number_count

    def __bpkern_sources__(self) -> np.ndarray:
        """The column of the table that each column of the result is made of."""
        return self._fitted().sources

    def __bpkern_encoding__(self) -> tuple[Encoding, list[str] | None]:
        """The fitted encoding, and the names of the table's columns, for exports."""
        return self._fitted(), self._names()

    def __bpkern_affine__(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Center and factor of each column where each becomes one scaled column, for exports; else None."""
        columns = self._fitted().columns
        numbers = [
            each for each in columns if isinstance(each, Number) and each.scale.factor and not each.gaps
        ]
        if self._encoding.scaling != "standard" or len(numbers) < len(columns):
            return None
        scales = np.array([(each.scale.center, each.scale.factor) for each in numbers])
        return scales[:, 0], scales[:, 1]

    def __bpkern_plain__(self) -> tuple[Config, Arrays]:
        """Parameters and the fitted state for files. Raises ValueError before `fit`."""
        config, arrays = plain_encoding(self._fitted(), self._names())
        chosen = [str(each) if isinstance(each, str) else int(each) for each in self.categorical]
        limits = {
            name: None if limit is None else int(limit)
            for name, limit in (("max_one_hot", self.max_one_hot), ("max_categories", self.max_categories))
        }
        parameters = self.get_params() | {"categorical": chosen} | limits
        return config | {"parameters": parameters}, arrays

    @classmethod
    def __bpkern_of_plain__(cls, config: Config, arrays: Arrays) -> Self:
        """The encoder of a file. Raises one of `state.MALFORMED`."""
        parameters = config["parameters"]
        if set(parameters) != set(_PARAMETERS):
            raise ValueError(f"parameters must be {', '.join(_PARAMETERS)}")
        encoder = cls(**parameters)
        encoder.__setstate__({"_encoding": {"config": config, "arrays": arrays}})
        return encoder

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        plain = state.pop("_encoding", None)
        vars(self).update(state)
        if plain is not None:
            self._keep(*encoding_of_plain(plain["config"], plain["arrays"]))


_PARAMETERS = ("scaling", "categorical", "max_one_hot", "max_categories")
