"""Networks of the C API by ctypes: what its tests share."""

import ctypes

import numpy as np

from bpkern import c_api

API, NUMBERS = c_api.functions(), c_api.constants()


def number(name):
    return NUMBERS[f"BPKERN_{name.upper()}"]


def address(array):
    return None if array is None else array.ctypes.data


def status_of(call, *arguments):
    """The name of the status that a function of the API returns."""
    return API.status_name(call(*arguments)).decode().removeprefix("BPKERN_")


class Net:
    """A network of the C API. Methods return the name of the status."""

    def __init__(self, sizes, activations, loss, dtype="float64", parameters=None):
        self.sizes, self.dtype = sizes, np.dtype(dtype)
        self.handle = ctypes.c_void_p()
        widths = np.array(sizes, np.intp)
        numbers = np.array([number(name) for name in activations], np.intc)
        self.status = status_of(
            API.net_create,
            *(number(dtype), len(activations), address(widths), address(numbers), number(loss)),
            *(address(parameters), ctypes.byref(self.handle)),
        )

    def __enter__(self):
        assert self.status == "OK"
        return self

    def __exit__(self, *_):
        API.net_free(self.handle)

    def init(self, seed):
        return status_of(API.net_init, self.handle, seed)

    def get(self):
        layers = []
        for l, (fan_in, fan_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            w, b = np.empty((fan_out, fan_in), self.dtype), np.empty(fan_out, self.dtype)
            assert status_of(API.net_get_layer, self.handle, l, address(w), address(b)) == "OK"
            layers.append((w, b))
        return layers

    def set(self, layers):
        for l, (w, b) in enumerate(layers):
            w, b = np.ascontiguousarray(w, self.dtype), np.ascontiguousarray(b, self.dtype)
            assert status_of(API.net_set_layer, self.handle, l, address(w), address(b)) == "OK"

    def forward(self, x, threads=1):
        out = np.empty((len(x), self.sizes[-1]), self.dtype)
        status = status_of(
            *(
                API.net_forward,
                self.handle,
                threads,
                len(x),
                address(x),
                x.strides[0] // x.itemsize,
                address(out),
            )
        )
        assert status == "OK"
        return out

    def fit(self, data, settings, report=None):
        return status_of(
            API.net_fit,
            *(self.handle, ctypes.byref(data), ctypes.byref(settings), None if report is None else report),
        )

    def evaluate(self, data, report):
        return status_of(API.net_evaluate, self.handle, 1, ctypes.byref(data), report)


def data_of(x, y, weights=None):
    """`bpkern_data` of x (n, inputs) and of labels (n,) or targets (n, outputs), which must live as long."""
    data = c_api.Data(size=ctypes.sizeof(c_api.Data), n=len(x), x=address(x), weights=address(weights))
    data.ldx = x.strides[0] // x.itemsize
    if y.ndim == 1:
        data.labels = address(y)
    else:
        data.y, data.ldy = address(y), y.strides[0] // y.itemsize
    return data


def training(name="sgd", **settings):
    """`bpkern_training` with the defaults of the rule of that name, and other settings."""
    made = c_api.Training()
    assert status_of(API.training_init, made, ctypes.sizeof(made), number(name)) == "OK"
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def report_of(epochs=0):
    """`bpkern_report`, and the losses of its epochs."""
    losses = np.full(epochs, np.nan)
    return c_api.Report(size=ctypes.sizeof(c_api.Report), losses=address(losses) if epochs else None), losses
