"""hummingbird-ml's converters of the estimators, by themselves and in pipelines."""

from typing import Any

from .classifier import MLPClassifier
from .regressor import MLPRegressor


def register_hummingbird() -> None:
    """Register converters of `MLPClassifier` and `MLPRegressor` with hummingbird-ml.

    Its `convert` to torch then converts them, also as steps of a Pipeline, in float32; labels must be whole
    numbers. Importing `bpkern.sklearn` registers them if hummingbird.ml is loaded before; a second
    registration replaces the first.

    Raises
    ------
    ModuleNotFoundError
        If hummingbird-ml is not installed.
    """
    try:
        from hummingbird.ml import supported
        from onnxconverter_common.registration import register_converter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "register_hummingbird needs hummingbird-ml: pip install hummingbird-ml"
        ) from error
    for kind in (MLPClassifier, MLPRegressor):
        supported.sklearn_api_operator_name_map[kind] = f"Bpkern{kind.__name__}"
        register_converter(f"Bpkern{kind.__name__}", _module, overwrite=True)


def _module(operator: Any, device: Any, extra_config: Any) -> Any:
    """The torch module of an estimator."""
    from .hummingbird_module import EstimatorModule

    return EstimatorModule(operator)
