"""The demo's network trained by a loop written for it alone: what the NumPy reference is held against.

One function, outputs allocated once, in-place updates, softmax cross-entropy and momentum spelled out.
"""

import numpy as np


def train(X, y, weights, epochs, batch, lr, momentum, seed):
    """Train [(W, b), ...], rectifiers in between, in place; returns the mean loss of the last epoch.

    X is float32 (n, in) and y int64 (n,); n is a multiple of the batch.
    """
    W, b = [w for w, _ in weights], [b for _, b in weights]
    VW, Vb = [np.zeros_like(w) for w in W], [np.zeros_like(v) for v in b]
    dW, scratch = [np.empty_like(w) for w in W], [np.empty_like(w) for w in W]
    x = np.empty((batch, X.shape[1]), X.dtype)
    a = [np.empty((batch, len(v)), X.dtype) for v in b]
    delta = [np.empty((batch, len(v)), X.dtype) for v in b]
    mask = [np.empty((batch, len(v)), bool) for v in b]
    last, rows, rng = len(W) - 1, np.arange(batch), np.random.default_rng(seed)
    for _ in range(epochs):
        order, total = rng.permutation(len(X)), 0.0
        for start in range(0, len(X), batch):
            index = order[start : start + batch]
            np.take(X, index, axis=0, out=x, mode="clip")
            labels = y[index]
            below = x
            for l in range(last + 1):
                np.matmul(below, W[l].T, out=a[l])
                a[l] += b[l]
                if l < last:
                    np.maximum(a[l], 0, out=a[l])
                below = a[l]
            z, d = a[last], delta[last]
            z -= z.max(axis=1, keepdims=True)
            np.exp(z, out=d)
            sums = d.sum(axis=1, keepdims=True)
            total += float((np.log(sums[:, 0]) - z[rows, labels]).sum())
            d /= sums
            d[rows, labels] -= 1
            d *= 1 / batch
            for l in range(last, -1, -1):
                if l > 0:
                    np.matmul(delta[l], W[l], out=delta[l - 1])
                    np.greater(a[l - 1], 0, out=mask[l - 1])
                    delta[l - 1] *= mask[l - 1]
                np.matmul(delta[l].T, a[l - 1] if l > 0 else x, out=dW[l])
                VW[l] *= momentum
                VW[l] += dW[l]
                W[l] -= np.multiply(VW[l], lr, out=scratch[l])
                Vb[l] *= momentum
                Vb[l] += delta[l].sum(axis=0)
                b[l] -= lr * Vb[l]
    return total / len(X)
