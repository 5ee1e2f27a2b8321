"""scikit-learn's MLPClassifier and MLPRegressor, trained by `fit` with a warm start."""

import warnings

import numpy as np
from peers_base import LeftOutError, Peer
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

ACTIVATIONS = {"relu": "relu", "sigmoid": "logistic", "tanh": "tanh"}


class SklearnPeer(Peer):
    """`fit` with `warm_start`, which continues from the weights, with zero velocity.

    The loss of scikit-learn's regressor is half the sum over the outputs, while mse is their mean; so the
    learning rate is scaled by 2 / out. Its velocity includes the learning rate, which is equivalent while the
    rate is constant.
    """

    def __init__(self, net, weights, X, y, lr, threads):
        super().__init__(net, weights, X, y, lr, threads)
        if len(net.layers) > 2 and net.activation not in ACTIVATIONS:
            raise LeftOutError(f"has no {net.activation}")
        classifier = net.loss == "cross_entropy"
        if classifier and net.layers[-1] == 2:
            raise LeftOutError("makes two classes one sigmoid")
        if net.layers[-1] == 1:
            self.y = y.ravel()
        self.model = (MLPClassifier if classifier else MLPRegressor)(
            hidden_layer_sizes=net.layers[1:-1],
            activation=ACTIVATIONS.get(net.activation, "identity"),
            solver="sgd",
            alpha=0.0,
            batch_size=net.batch,
            learning_rate_init=lr if classifier else lr * 2 / net.layers[-1],
            momentum=net.momentum,
            nesterovs_momentum=False,
            warm_start=True,
            random_state=0,
        )
        # The estimator has weights only after an epoch.
        self.epochs(1)
        for own, given in zip(self.model.coefs_, (w for w, _ in weights), strict=True):
            own[:] = given.T
        for own, given in zip(self.model.intercepts_, (b for _, b in weights), strict=True):
            own[:] = given

    def epochs(self, count, shuffle=True):
        self.model.set_params(max_iter=count, n_iter_no_change=count + 1, shuffle=shuffle)
        with warnings.catch_warnings():
            # The number of epochs is fixed, so the fit need not converge.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model.fit(self.X, self.y)

    def weights(self):
        return [(w.T, b) for w, b in zip(self.model.coefs_, self.model.intercepts_, strict=True)]

    def forward(self, X):
        """Outputs of a regressor; for a classifier the logarithms of its probabilities, which differ from the
        outputs by a constant per row."""
        if self.net.loss == "cross_entropy":
            return np.log(self.model.predict_proba(X))
        return self.predict(X)

    def predict(self, X):
        return self.model.predict(X).reshape(len(X), -1) if self.net.loss == "mse" else self.model.predict(X)
