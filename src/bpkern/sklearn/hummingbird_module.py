"""An estimator as one of hummingbird-ml's torch modules; importing this needs both packages."""

from typing import Any

import numpy as np
import torch
from hummingbird.ml.operator_converters._physical_operator import PhysicalOperator

from .._export.estimators import net_of_estimator
from .._export.net import with_dtype
from .._export.torch_out import sequential


class EstimatorModule(PhysicalOperator, torch.nn.Module):
    """Predicts as an estimator does, in float32: values, or labels and probabilities.

    Raises
    ------
    TypeError
        For labels that are not whole numbers, and for several labels per row, which hummingbird lacks.
    """

    def __init__(self, operator: Any) -> None:
        net = with_dtype(net_of_estimator(operator.raw_operator), np.float32)
        classifies = net.estimator != "regressor"
        super().__init__(operator, regression=not classifies, classification=classifies)
        self.outputs_of = sequential(net, True)
        self.final, self.both = net.final, net.both_classes
        if net.estimator == "multilabel":
            raise TypeError("hummingbird has no classifiers of several labels per row")
        if net.classes is not None:
            if net.classes.dtype.kind not in "biu":
                raise TypeError(f"the classes must be whole numbers in hummingbird, not {net.classes[:3]!r}")
            self.register_buffer("classes", torch.from_numpy(net.classes.astype(np.int64)))

    def forward(self, x: Any) -> Any:
        """Values (n, out), or labels and probabilities."""
        a = self.outputs_of(x.float())
        if self.final == "softmax":
            a = torch.softmax(a, dim=1)
        elif self.final == "sigmoid":
            a = torch.sigmoid(a)
        elif self.final == "exp":
            a = torch.exp(a)
        if self.regression:
            return a
        if self.both:
            a = torch.cat([1 - a, a], dim=1)
        return self.classes[torch.argmax(a, dim=1)], a
