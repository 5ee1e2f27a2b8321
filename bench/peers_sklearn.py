"""scikit-learn's MLPClassifier and MLPRegressor, trained by `fit` with a warm start."""

import warnings

import numpy as np
from peers_base import LeftOutError, Peer
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

ACTIVATIONS = {"relu": "relu", "sigmoid": "logistic", "tanh": "tanh"}


class SklearnPeer(Peer):
    """`fit` with `warm_start`, which goes on with the weights, and with a velocity of zero.

    The loss of its regressor is half the sum over the outputs where mse is their mean, so the learning rate
    is scaled by 2 / out. Its velocity has the learning rate inside, which is the same while that is constant.
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
        # One epoch makes it what has weights at all.
        self.epochs(1)
        for own, given in zip(self.model.coefs_, (w for w, _ in weights), strict=True):
            own[:] = given.T
        for own, given in zip(self.model.intercepts_, (b for _, b in weights), strict=True):
            own[:] = given

    def epochs(self, count, shuffle=True):
        self.model.set_params(max_iter=count, n_iter_no_change=count + 1, shuffle=shuffle)
        with warnings.catch_warnings():
            # It was told how many epochs to make, and that they are not enough for it is no news.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model.fit(self.X, self.y)

    def weights(self):
        return [(w.T, b) for w, b in zip(self.model.coefs_, self.model.intercepts_, strict=True)]

    def forward(self, X):
        """Probabilities for a classifier, which is what it gives out; they differ from the outputs by a
        constant a row after the logarithm."""
        if self.net.loss == "cross_entropy":
            return np.log(self.model.predict_proba(X))
        return self.predict(X)

    def predict(self, X):
        return self.model.predict(X).reshape(len(X), -1) if self.net.loss == "mse" else self.model.predict(X)
