"""NumPy, by the hand-written loop."""

import numpy as np
from handwritten import Loop
from peers_base import Peer


class NumpyPeer(Peer):
    """`handwritten.Loop`; the seed advances, so that no two calls shuffle alike."""

    def __init__(self, net, weights, X, y, lr, threads):
        super().__init__(net, weights, X, y, lr, threads)
        kind = dict(activation=net.activation, loss=net.loss, lr=lr, momentum=net.momentum)
        self.loop = Loop(weights, net.batch, **kind)
        self.seed = 0
        self.buffers = {}

    def epochs(self, count, shuffle=True):
        self.seed += 1
        self.loop.train(self.X, self.y, count, self.seed if shuffle else None)

    def weights(self):
        return list(zip(self.loop.W, self.loop.b, strict=True))

    def forward(self, X):
        if len(X) not in self.buffers:
            shapes = [(len(X), size) for size in self.net.layers[1:]]
            self.buffers[len(X)] = [[np.empty(shape, np.float32) for shape in shapes] for _ in "ab"]
        return self.loop.forward(X, *self.buffers[len(X)])
