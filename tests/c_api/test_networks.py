"""Networks of the C API against the reference in NumPy, and what the header promises about them."""

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from c_nets import API, Net, address, data_of, number, report_of, status_of, training
from helpers import fitting

import bpkern
from bpkern import c_api, reference

SIZES, ACTIVATIONS = [6, 20, 9, 4], ["tanh", "gelu", "identity"]
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}

OPTIMIZERS = {
    "sgd": (bpkern.SGD(lr=0.1, momentum=0.9, nesterov=True), dict(lr=0.1, momentum=0.9, nesterov=1)),
    "rmsprop": (bpkern.RMSprop(), {}),
    "adagrad": (bpkern.Adagrad(), {}),
    "adam": (bpkern.Adam(amsgrad=True), dict(amsgrad=1)),
    "adamw": (bpkern.AdamW(), {}),
}
LOSSES = {
    "mse": {},
    "squared_error": {},
    "cross_entropy": {},
    "binary_cross_entropy": {},
    "mae": {},
    "poisson": {},
}


def rows(loss, dtype="float64", n=50):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, SIZES[0])).astype(dtype)
    if loss == "cross_entropy":
        return x, rng.integers(0, SIZES[-1], n)
    return x, fitting(loss, rng.uniform(0, 1, (n, SIZES[-1])).astype(dtype))


def reference_net(loss, optimizer, dtype="float64", **settings):
    return reference.MLP(
        SIZES, activation=ACTIVATIONS[:-1], loss=loss, optimizer=optimizer, dtype=dtype, seed=3, **settings
    )


def check_training(loss, rule, dtype, own=None, **settings):
    optimizer, options = OPTIMIZERS[rule]
    oracle = reference_net(loss, optimizer, dtype, **settings)
    x, y = rows(loss, dtype)
    with Net(SIZES, ACTIVATIONS, loss, dtype) as net:
        net.set(oracle.get_weights())
        assert np.allclose(net.forward(x), oracle.forward(x), rtol=0, atol=TOLERANCE[dtype])
        report, losses = report_of(3)
        chosen = training(rule, epochs=3, batch=16, shuffle=0, **options, **(own or {}))
        assert net.fit(data_of(x, y), chosen, report) == "OK"
        history = oracle.fit(x, y, epochs=3, batch_size=16, shuffle=False)
        assert losses == pytest.approx(history["loss"], rel=TOLERANCE[dtype])
        assert (report.epochs, report.loss, report.bad_row) == (3, losses[-1], -1)
        for (w, b), (w_, b_) in zip(net.get(), oracle.get_weights(), strict=True):
            assert np.allclose(w, w_, rtol=0, atol=20 * TOLERANCE[dtype])
            assert np.allclose(b, b_, rtol=0, atol=20 * TOLERANCE[dtype])
        if loss == "cross_entropy":
            report, _ = report_of()
            assert net.evaluate(data_of(x, y), report) == "OK"
            assert report.accuracy == np.mean(oracle.forward(x).argmax(1) == y)


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_training_is_that_of_the_reference(rule, dtype):
    check_training("cross_entropy", rule, dtype)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_that_of_the_reference(loss):
    check_training(loss, "sgd", "float64")


def test_penalties_are_those_of_the_reference():
    check_training("mse", "sgd", "float64", own=dict(l2=0.01), l2=0.01)


def test_sample_weights_and_rows_that_lie_apart():
    x, y = rows("mse")
    weights = np.random.default_rng(1).uniform(0, 2, len(x))
    oracle = reference_net("mse", bpkern.SGD(lr=0.1))
    with Net(SIZES, ACTIVATIONS, "mse") as net:
        net.set(oracle.get_weights())
        wide_x, wide_y = np.full((50, 11), np.nan), np.full((50, 7), np.nan)
        wide_x[:, :6], wide_y[:, :4] = x, y
        settings = training("sgd", lr=0.1, batch=16, shuffle=0)
        assert net.fit(data_of(wide_x[:, :6], wide_y[:, :4], weights), settings) == "OK"
        oracle.fit(x, y, batch_size=16, shuffle=False, sample_weight=weights)
        assert np.allclose(net.forward(wide_x[:, :6]), oracle.forward(x), rtol=0, atol=1e-12)


def test_the_bits_are_those_of_python(dtype):
    """ "The numbers are those of Python: the same kernels, and the same bits at any number of threads" """
    x, y = rows("cross_entropy", dtype)
    hidden = dict(activation=ACTIVATIONS[:-1], optimizer=bpkern.Adam())
    model = bpkern.MLP(SIZES, loss="cross_entropy", dtype=dtype, seed=0, **hidden)
    with Net(SIZES, ACTIVATIONS, "cross_entropy", dtype) as net:
        net.set(model.get_weights())
        model.fit(x, y, epochs=2, shuffle=False)
        assert net.fit(data_of(x, y), training("adam", epochs=2, shuffle=0, threads=2)) == "OK"
        assert np.array_equal(net.forward(x), model.forward(x))


# Random numbers ------------------------------------------------------------------------------------------


def split_mix(state):
    """SplitMix64, from its paper: the numbers from this state on."""
    mask = 2**64 - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        yield z ^ z >> 31


def order_of(numbers, n):
    order = []
    for i in range(n):
        j = next(numbers) % (i + 1)  # none of these few numbers is drawn again
        order.append(i)
        order[i], order[j] = order[j], i
    return order


def test_weights_and_orders_are_those_of_the_generator():
    """Published numbers of SplitMix64 with the state 1234567; weights as the header says; orders as a shuffle
    of the same numbers in Python."""
    numbers = split_mix(1234567)
    assert [next(numbers) for _ in range(2)] == [6457827717110365317, 3203168211198807973]
    numbers = split_mix(77)
    x, y = rows("mse")
    with Net(SIZES, ["tanh", "relu", "identity"], "mse") as net:
        assert net.init(77) == "OK"
        for w, b in net.get():
            fan_out, fan_in = w.shape
            for array, half in ((w, np.sqrt(6 / (fan_in + fan_out))), (b, np.sqrt(1 / fan_in))):
                drawn = [next(numbers) >> 11 for _ in range(array.size)]
                assert np.array_equal(array.ravel(), (2 * (np.array(drawn) * 2.0**-53) - 1) * half)
        initial = net.get()
        assert net.fit(data_of(x, y), training(epochs=2, batch=7)) == "OK"
        shuffled = net.get()
        net.set(initial)
        for _ in range(2):
            order = order_of(numbers, len(x))
            assert sorted(order) == list(range(len(x)))
            x_, y_ = x[order], y[order]
            assert net.fit(data_of(x_, y_), training(batch=7, shuffle=0)) == "OK"
        assert all(np.array_equal(w, w_) for (w, _), (w_, _) in zip(net.get(), shuffled, strict=True))


@pytest.mark.parametrize("threads", [0, 2])
def test_two_epochs_twice_are_four_epochs(threads):
    x, y = rows("cross_entropy")
    found = []
    for fits in ([4], [2, 2]):
        with Net(SIZES, ACTIVATIONS, "cross_entropy", "float32") as net:
            net.init(1)
            x_ = x.astype(np.float32)
            for epochs in fits:
                assert net.fit(data_of(x_, y), training("adam", epochs=epochs, threads=threads)) == "OK"
            found.append(net.forward(x_))
    assert np.array_equal(*found)
    with Net(SIZES, ACTIVATIONS, "cross_entropy", "float32") as net:
        net.init(1)
        net.fit(data_of(x_, y), training("adam", epochs=4, threads=1))
        assert np.array_equal(net.forward(x_, threads=2), found[0])


def test_another_rule_begins_with_new_states():
    x, y = rows("mse")
    with Net(SIZES, ACTIVATIONS, "mse") as net, Net(SIZES, ACTIVATIONS, "mse") as fresh:
        net.init(4)
        fresh.init(4)
        net.fit(data_of(x, y), training("adam", shuffle=0))
        fresh.set(net.get())
        for each in (net, fresh):
            assert each.fit(data_of(x, y), training("rmsprop", shuffle=0, momentum=0.9)) == "OK"
        assert np.array_equal(net.forward(x), fresh.forward(x))


# Errors and ends ------------------------------------------------------------------------------------------


def test_bad_layers():
    assert Net([3, 0], ["relu"], "mse").status == "BAD_SIZE"
    assert Net([3], [], "mse").status == "BAD_SIZE"
    assert Net([3, 2**60], ["relu"], "mse").status == "NO_MEMORY"
    assert Net([3, 2], ["relu"], "mse", parameters=np.ones(2)).status == "BAD_VALUE"
    assert Net([3, 2], ["relu"], "quantile", parameters=np.array([0.5, 1.0])).status == "BAD_VALUE"
    assert Net([3, 2], ["relu"], "huber", parameters=np.array([0.5, np.inf])).status == "BAD_VALUE"
    handle, sizes, relu = ctypes.c_void_p(), np.array([2, 2], np.intp), np.array([99], np.intc)
    arguments = [0, 1, address(sizes), address(relu), 0, None, ctypes.byref(handle)]
    assert status_of(API.net_create, *arguments) == "BAD_NAME"
    assert status_of(API.net_create, *arguments[:2], None, *arguments[3:]) == "NULL_POINTER"
    assert not handle
    API.net_free(None)


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        (dict(lr=-1.0), "BAD_VALUE"),
        (dict(lr=np.nan), "BAD_VALUE"),
        (dict(momentum=1.5), "BAD_VALUE"),
        (dict(nesterov=1), "BAD_VALUE"),
        (dict(clip_norm=0.0), "BAD_VALUE"),
        (dict(l2=np.inf), "BAD_VALUE"),
        (dict(batch=0), "BAD_SIZE"),
        (dict(epochs=-1), "BAD_SIZE"),
        (dict(threads=1025), "BAD_SIZE"),
        (dict(threads=-1), "BAD_SIZE"),
        (dict(size=8), "BAD_SIZE"),
        (dict(size=2**40), "BAD_SIZE"),
        (dict(rule=99), "BAD_NAME"),
    ],
)
def test_bad_settings_change_nothing(settings, status):
    x, y = rows("mse")
    with Net(SIZES, ACTIVATIONS, "mse") as net:
        net.init(0)
        before = net.forward(x)
        assert net.fit(data_of(x, y), training(**settings)) == status
        assert np.array_equal(net.forward(x), before)


def test_bad_data():
    x, y = rows("mse")
    labels = np.zeros(len(x), np.int64)
    report, _ = report_of()
    with Net(SIZES, ACTIVATIONS, "mse") as net:
        data = data_of(x, y)
        assert net.fit(data_of(x, labels), training()) == "BAD_VALUE"
        assert net.fit(data_of(x, y, -np.ones(len(x))), training()) == "BAD_VALUE"
        assert net.fit(data_of(x, y, np.zeros(len(x))), training()) == "BAD_VALUE"
        for field, value, status in (
            *(("n", 0, "BAD_SIZE"), ("ldx", 5, "BAD_SIZE"), ("ldy", 3, "BAD_SIZE"), ("size", 0, "BAD_SIZE")),
            *(("x", None, "NULL_POINTER"), ("y", None, "NULL_POINTER")),
        ):
            bad = c_api.Data.from_buffer_copy(data)
            setattr(bad, field, value)
            assert net.fit(bad, training()) == net.evaluate(bad, report) == status, field
        assert status_of(API.net_evaluate, net.handle, 1, data, None) == "NULL_POINTER"
        assert status_of(API.net_fit, net.handle, None, training(), None) == "NULL_POINTER"
        assert status_of(API.net_forward, net.handle, 1, 2, None, 6, None) == "NULL_POINTER"
        assert status_of(API.net_forward, net.handle, 1, 0, None, 6, None) == "OK"
        assert status_of(API.net_get_layer, net.handle, 3, address(x), address(x)) == "BAD_SIZE"
        assert [API.net_width(net.handle, l) for l in range(-1, 5)] == [-1, *SIZES, -1]
        assert API.net_layers(net.handle) == 3


def test_a_row_that_is_not_finite_has_its_number():
    x, y = rows("mse")
    x[37, 2] = np.nan
    with Net(SIZES, ACTIVATIONS, "mse") as net:
        report, _ = report_of()
        assert net.fit(data_of(x, y), training(), report) == "BAD_ROW"
        assert report.bad_row == 37
        out = np.empty((len(x), 4))
        assert status_of(API.net_forward, net.handle, 1, len(x), address(x), 6, address(out)) == "BAD_ROW"
        w, b = np.full((20, 6), np.inf), np.zeros(20)
        assert status_of(API.net_set_layer, net.handle, 0, address(w), address(b)) == "BAD_VALUE"


def test_a_label_out_of_range_has_its_number():
    x, labels = rows("cross_entropy")
    labels[12] = 4
    with Net(SIZES, ACTIVATIONS, "cross_entropy") as net:
        report, _ = report_of()
        assert net.fit(data_of(x, labels), training(), report) == "BAD_ROW"
        assert report.bad_row == 12


@pytest.mark.parametrize("batch", [10, 50])
def test_a_fit_that_diverges_leaves_finite_weights(batch):
    x, y = rows("mse")
    with Net(SIZES, ["relu", "relu", "identity"], "mse") as net:
        net.init(0)
        report, losses = report_of(100)
        assert net.fit(data_of(x, y), training(lr=1e30, batch=batch, epochs=100), report) == "DIVERGED"
        assert all(np.isfinite(w).all() for pair in net.get() for w in pair)
        assert np.isfinite(losses).sum() == report.epochs < 100


def test_a_fit_stops_when_it_is_asked_to():
    x, y = rows("mse")
    contexts = []

    def stop(context):
        contexts.append(context)
        return len(contexts) == 2

    with Net(SIZES, ACTIVATIONS, "mse") as net:
        net.init(0)
        own = type(training().stop)(stop)
        report, _ = report_of()
        settings = training(epochs=2**40, stop=own, stop_context=123)
        assert net.fit(data_of(x, y), settings, report) == "STOPPED"
        assert contexts == [123, 123]
        assert 0 < report.epochs < 2**40
        assert np.isfinite(net.forward(x)).all()


WITHOUT_MEMORY = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from c_nets import Net, data_of, training
WIDTH, PAGES = 1000, resource.getpagesize()  # each of weights, states and their snapshots takes 8 MB
x = np.random.default_rng(0).normal(size=(4, WIDTH))
sgd = dict(momentum=0.9, batch=2, shuffle=0, threads=1, lr=1e-3)
found = []
for room in (None, 4_000_000, 12_000_000):  # for neither the second state nor its snapshot; for the state
    with Net([WIDTH, WIDTH], ["tanh"], "mse") as net:
        net.init(1)
        assert net.fit(data_of(x, x), training("sgd", **sgd)) == "OK"
        if room:
            used = int(open("/proc/self/statm").read().split()[0]) * PAGES
            before = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (used + room, before[1]))
            status = net.fit(data_of(x, x), training("adam", batch=2, threads=1))
            resource.setrlimit(resource.RLIMIT_AS, before)
            assert status == "NO_MEMORY", status
        assert net.fit(data_of(x, x), training("sgd", **sgd)) == "OK"
        found.append(net.get()[0][0].tobytes())
assert len(set(found)) == 1, "the fit without memory has changed the next one"
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits the memory as on Linux")
@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer has its own address space"
)
def test_a_fit_without_memory_changes_nothing():
    """Neither weights nor the states of the optimiser: the next fit goes on as if it had not been called."""
    support = str(Path(__file__).parents[1] / "support")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEMORY, support], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_short_epochs_are_not_each_followed_by_a_question():
    """A fit asks about ten times a second, however many epochs that are."""
    x, y, asked = np.ones((1, 1)), np.ones((1, 1)), []
    own = type(training().stop)(lambda context: asked.append(context) or 0)
    with Net([1, 1], ["identity"], "mse") as net:
        assert net.fit(data_of(x, y), training(epochs=6400, stop=own)) == "OK"
    assert len(asked) < 640  # so many only if the epochs take a minute


def test_structs_of_a_later_version():
    """Longer structs are taken if what they add is 0, which asks for nothing, and refused otherwise."""

    class Later(ctypes.Structure):
        _fields_ = (*c_api.Training._fields_, ("momentum_of_momentum", ctypes.c_double))

    x, y = rows("mse")
    with Net(SIZES, ACTIVATIONS, "mse") as net:
        later = Later(momentum_of_momentum=3.0)
        pointer = ctypes.cast(ctypes.byref(later), ctypes.POINTER(c_api.Training))
        assert status_of(API.training_init, pointer, ctypes.sizeof(later), number("adam")) == "OK"
        assert (later.momentum_of_momentum, later.lr, later.size) == (0.0, 0.001, ctypes.sizeof(later))
        assert status_of(API.net_fit, net.handle, data_of(x, y), pointer, None) == "OK"
        later.momentum_of_momentum = 3.0
        assert status_of(API.net_fit, net.handle, data_of(x, y), pointer, None) == "BAD_VALUE"
        assert status_of(API.training_init, pointer, 16, number("adam")) == "BAD_SIZE"
        assert status_of(API.training_init, pointer, ctypes.sizeof(later), 99) == "BAD_NAME"


def test_threads_read_one_network_at_once():
    x, _ = rows("mse", n=300)
    with Net(SIZES, ACTIVATIONS, "mse") as net:
        net.init(0)
        expected, wrong = net.forward(x), []

        def read():
            for n in (300, 7, 299, 1) * 20:
                wrong.extend([n] * (not np.allclose(net.forward(x[:n]), expected[:n], rtol=1e-12)))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
