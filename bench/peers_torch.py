"""PyTorch: eager, and with the whole step compiled."""

import functools

import torch
from peers_base import LeftOutError, Peer
from torch.nn import functional as F

ACTIVATIONS = {
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
MODULES = {
    "relu": torch.nn.ReLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "sigmoid": torch.nn.Sigmoid,
    "tanh": torch.nn.Tanh,
}
LOSSES = {"mse": F.mse_loss, "cross_entropy": F.cross_entropy}


def _optimizer(parameters, net, lr):
    """The fused optimiser, or if the processor has none, the one that works on lists of tensors."""
    try:
        return torch.optim.SGD(parameters, lr=lr, momentum=net.momentum, fused=True)
    except (RuntimeError, TypeError):
        return torch.optim.SGD(parameters, lr=lr, momentum=net.momentum, foreach=True)


class TorchPeer(Peer):
    """`Sequential`, autograd and `torch.optim.SGD(fused=True)`, without a data loader."""

    def __init__(self, net, weights, X, y, lr, threads):
        super().__init__(net, weights, X, y, lr, threads)
        torch.set_num_threads(threads)
        self.x, self.targets = torch.from_numpy(X), torch.from_numpy(y)
        self.modules = [torch.nn.Linear(*w.T.shape, device="meta") for w, _ in weights]
        for module, (w, b) in zip(self.modules, weights, strict=True):
            module.weight = torch.nn.Parameter(torch.from_numpy(w.copy()))
            module.bias = torch.nn.Parameter(torch.from_numpy(b.copy()))
        chain = [part for module in self.modules for part in (module, MODULES[net.activation]())]
        self.model = torch.nn.Sequential(*chain[:-1])
        self._prepare()

    def _prepare(self):
        self.loss = LOSSES[self.net.loss]
        self.optimizer = _optimizer(self.model.parameters(), self.net, self.lr)

    def _step(self, x, targets):
        self.optimizer.zero_grad()
        self.loss(self.model(x), targets).backward()
        self.optimizer.step()

    def epochs(self, count, shuffle=True):
        rows, batch = len(self.x), self.net.batch
        for _ in range(count):
            order = torch.randperm(rows) if shuffle else torch.arange(rows)
            for index in order.split(batch):
                self._step(self.x.index_select(0, index), self.targets.index_select(0, index))

    def weights(self):
        return [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in self.modules]

    def forward(self, X):
        with torch.inference_mode():
            return self.model(torch.from_numpy(X)).numpy()

    def predict(self, X):
        with torch.inference_mode():
            outputs = self.model(torch.from_numpy(X))
            return (outputs.argmax(dim=1) if self.net.loss == "cross_entropy" else outputs).numpy()


@functools.cache
def _compiled(net):
    """Loss, gradients and update of one mini-batch as one graph; the parameters are updated in place."""

    def loss(parameters, x, targets):
        for l, (w, b) in enumerate(parameters):
            x = F.linear(x, w, b)
            if l < len(parameters) - 1:
                x = ACTIVATIONS[net.activation](x)
        return LOSSES[net.loss](x, targets)

    def step(parameters, velocities, x, targets, lr):
        gradients = torch.func.grad(loss)(parameters, x, targets)
        for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
            for p, v, g in zip(parameter, velocity, gradient, strict=True):
                p.sub_(lr * (v.mul_(net.momentum).add_(g) if net.momentum else g))

    return torch.compile(step, fullgraph=True, dynamic=False)


class CompiledTorchPeer(TorchPeer):
    """The whole step by `torch.compile`, including autograd's graph and the optimiser."""

    def _prepare(self):
        self.parameters = [(m.weight.detach(), m.bias.detach()) for m in self.modules]
        self.velocities = [tuple(torch.zeros_like(p) for p in pair) for pair in self.parameters]
        self.rate = torch.tensor(self.lr)
        self.step = _compiled(self.net)

    def _step(self, x, targets):
        try:
            self.step(self.parameters, self.velocities, x, targets, self.rate)
        except Exception as error:  # the compiler's parts raise errors of many types
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise LeftOutError(f"did not compile: {reason}") from error
