"""bpkern itself."""

from peers_base import Peer

import bpkern


class BpkernPeer(Peer):
    """`bpkern.MLP.fit`, one call for all epochs."""

    def __init__(self, net, weights, X, y, lr, threads):
        super().__init__(net, weights, X, y, lr, threads)
        optimizer = bpkern.Adam(lr=lr) if net.adam else bpkern.SGD(lr=lr, momentum=net.momentum)
        self.model = bpkern.MLP(
            net.layers,
            activation=net.activation,
            loss=net.loss,
            optimizer=optimizer,
            dropout=net.dropout,
            seed=0,
        )
        self.model.set_weights(weights)
        bpkern.set_num_threads(threads)  # an upper bound: like the others, it uses as many as are worthwhile

    def epochs(self, count, shuffle=True):
        self.model.fit(
            self.X,
            self.y,
            epochs=count,
            batch_size=self.net.batch,
            shuffle=shuffle,
            verbose=0,
        )

    def weights(self):
        return self.model.get_weights()

    def forward(self, X):
        return self.model.forward(X)

    def predict(self, X):
        return self.model.predict(X)
