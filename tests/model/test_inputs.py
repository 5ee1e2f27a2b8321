"""The inputs in front of layer 0: formulas, gradients, training, files, and what is refused."""

import copy
import pickle

import numpy as np
import pytest
from differences import assert_gradients
from hypothesis import given, settings
from hypothesis import strategies as st

import bpkern
from bpkern import reference
from bpkern.inputs import CategoryEmbedding, NumericEmbedding, Scale

rng = np.random.default_rng(0)
ROWS, COLUMNS, CODE = 60, 6, 3
X = rng.normal(size=(ROWS, COLUMNS))
X[:, CODE] = rng.integers(0, 5, ROWS)
Y = rng.normal(size=(ROWS, 2))

TABLE = CategoryEmbedding(CODE, 5, dim=4)
STAGES = {
    "scale": [Scale()],
    "table": [CategoryEmbedding(CODE, 5, dim=70)],  # wider than any block
    "scaled table": [TABLE, Scale(lr_factor=6, decay_factor=0.5)],
    "all": [NumericEmbedding(lr_factor=0.1), TABLE, Scale(lr_factor=6)],
    "some numbers": [NumericEmbedding([5, 0], hidden=3, dim=9, sigma=0.5)],
}

OPTIMIZERS = [
    bpkern.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    bpkern.RMSprop(0.01, momentum=0.5, centered=True),
    bpkern.Adagrad(0.05, lr_decay=0.1),
    bpkern.Adam(0.01, weight_decay=0.1),
    bpkern.AdamW(0.01, weight_decay=0.3, amsgrad=True),
]


@pytest.fixture(params=STAGES)
def stage(request):
    return STAGES[request.param]


def model(inputs, kind=bpkern.MLP, **options):
    options = {"loss": "squared_error", "dtype": "float64", "activation": "tanh", "seed": 1, **options}
    return kind([COLUMNS, 11, 2], inputs=inputs, **options)


def formula(inputs, state, x):
    """The inputs of layer 0, row by row, from the formulas of the docstrings."""
    rows = []
    for row in x:
        parts = [[value] for value in row]
        for i, one in enumerate(inputs):
            values = {name.split(".")[2]: a for name, a in state.items() if name.startswith(f"inputs.{i}.")}
            if isinstance(one, CategoryEmbedding):
                parts[one.column] = values["weight"][int(row[one.column])]
            elif isinstance(one, NumericEmbedding):
                left = [j for j in range(COLUMNS) if j != CODE]
                for k, j in enumerate(left if one.columns is None else one.columns):
                    h = np.cos(2 * np.pi * row[j] * values["weight_1"][k] + values["bias_1"][k])
                    parts[j] = [*(h @ values["weight_2"][k] + values["bias_2"][k]), row[j]]
        rows.append(np.concatenate(parts))
        if isinstance(inputs[-1], Scale):
            rows[-1] = rows[-1] * state[f"inputs.{len(inputs) - 1}.scale"]
    return np.array(rows)


def bits(model):
    return b"".join(array.tobytes() for array in model.state_dict().values())


@pytest.mark.parametrize("rows", [1, 2, ROWS])
def test_forward_is_the_formula(isa, stage, rows):
    net = model(stage)
    state = net.state_dict()
    if "inputs.0.scale" in state:
        state["inputs.0.scale"] = rng.normal(size=COLUMNS)
        net.load_state_dict(state)
    hidden = np.tanh(formula(stage, state, X[:rows]) @ state["0.weight"].T + state["0.bias"])
    np.testing.assert_allclose(net.forward(X[:rows], layer=0), hidden, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_periodic_embeddings_of_large_and_small_numbers(isa, dtype):
    """The angle is rounded once: its error grows with the angle, and the cosine adds little to it."""
    one = NumericEmbedding(hidden=1, dim=2)
    net = bpkern.MLP([1, 1], inputs=[one], loss="mse", dtype=dtype, seed=0)
    x = np.concatenate([np.linspace(-3, 3, 500), [0, 0.25, 0.5, -0.75, 1e3, -1e4]]).astype(dtype)[:, None]
    state = net.state_dict()
    state |= {"0.weight": np.array([[1.0, 0.0]]), "0.bias": np.zeros(1), "inputs.0.bias_2": np.zeros((1, 1))}
    state |= {"inputs.0.weight_1": np.ones((1, 1)), "inputs.0.bias_1": np.full((1, 1), 0.5)}
    state["inputs.0.weight_2"] = np.ones((1, 1, 1))
    net.load_state_dict(state)
    angle = 2 * np.pi * x.astype(np.float64) + 0.5
    error = np.abs(net.forward(x) - np.cos(angle))
    assert (error <= np.finfo(dtype).eps * (2 + np.abs(angle))).all()


def test_gradients_are_finite_differences(isa, stage):
    assert_gradients(model(stage, l2=0.01), X, Y, places=3, tolerance=1e-8)


def test_the_derivative_by_x_is_finite_differences(isa, stage):
    net = model(stage)
    if "inputs.0.scale" in net.state_dict():
        net.load_state_dict({**net.state_dict(), "inputs.0.scale": rng.normal(size=COLUMNS)})
    outputs = net.forward(X, train=True)
    dx, step = net.backward(outputs - Y), 1e-6
    assert dx.shape == X.shape
    for j in range(COLUMNS):
        moved = np.zeros(COLUMNS)
        moved[j] = step
        if isinstance(stage[0], Scale) or j != CODE or stage is STAGES["some numbers"]:
            up, down = (0.5 * ((net.forward(X + sign * moved) - Y) ** 2).sum(axis=1) for sign in (1, -1))
            np.testing.assert_allclose(dx[:, j], (up - down) / (2 * step), atol=1e-6)
        else:
            assert (dx[:, j] == 0).all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize(
    "how", [{}, {"accumulate": 3, "clip_norm": 0.5}, {"ema": 0.9, "clip_value": 0.01}], ids=repr
)
def test_training_agrees_with_the_reference(optimizer, how):
    options = {"optimizer": optimizer, "l2": 0.01, "dropout": 0.2}
    net, plain = (model(STAGES["all"], kind, **options) for kind in (bpkern.MLP, reference.MLP))
    for each in (net, plain):
        each.fit(X, Y, epochs=2, batch_size=17, verbose=0, **how)
    state = net.state_dict()
    expected = plain.get_inputs()
    assert set(expected) == {name for name in state if name.startswith("inputs.")}
    for name, array in expected.items():
        np.testing.assert_allclose(state[name], array, atol=1e-10, err_msg=name)
    for ours, theirs in zip(net.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-10)


def test_every_instruction_set_trains_alike(isa, stage):
    net, plain = (model(stage, kind) for kind in (bpkern.MLP, reference.MLP))
    for each in (net, plain):
        each.fit(X, Y, epochs=1, batch_size=9, verbose=0)
    state = net.state_dict()
    for name, array in plain.get_inputs().items():
        np.testing.assert_allclose(state[name], array, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("how", [{}, {"accumulate": 2, "clip_norm": 0.5, "ema": 0.9}], ids=repr)
def test_any_number_of_threads_gives_the_same_bits(stage, how):
    found = set()
    for threads in (1, 2, 3, 7):
        net = model(stage, optimizer="adam", dtype="float32")
        net.fit(X, Y, epochs=2, batch_size=16, n_threads=threads, verbose=0, **how)
        found.add(bits(net))
    assert len(found) == 1


def test_factors_of_zero_keep_the_initial_values():
    inputs = [CategoryEmbedding(CODE, 5, lr_factor=0), Scale()]
    net = model(inputs, optimizer=bpkern.AdamW(0.1, weight_decay=0.5))
    before = net.state_dict()
    net.fit(X, Y, epochs=1, verbose=0)
    after = net.state_dict()
    assert (after["inputs.0.weight"] == before["inputs.0.weight"]).all()
    assert (after["inputs.1.scale"] != before["inputs.1.scale"]).all()


def test_a_category_that_no_row_has_stays():
    net = model([CategoryEmbedding(CODE, 9)])
    before = net.state_dict()["inputs.0.weight"]
    net.fit(X, Y, epochs=1, verbose=0)
    changed = (net.state_dict()["inputs.0.weight"] != before).all(axis=1)
    assert changed.tolist() == [True] * 5 + [False] * 4


def test_steps_by_hand(stage):
    """forward, backward and step make the update of train_on_batch, and so do gradients by name."""
    whole, by_hand, by_name = (model(stage) for _ in range(3))
    whole.train_on_batch(X, Y)
    by_hand.backward((by_hand.forward(X, train=True) - Y) / ROWS)
    by_hand.step()
    by_name.apply_gradients(by_name.gradients(X, Y, by_name=True)[1])
    for other in (by_hand, by_name):
        for name, array in whole.state_dict().items():
            np.testing.assert_allclose(other.state_dict()[name], array, atol=1e-14, err_msg=name)


def test_a_loss_in_python_trains_the_inputs():
    def squared(outputs, y):
        return 0.5 * ((outputs - y) ** 2).sum(axis=1), outputs - y

    ours, builtin = model(STAGES["all"], loss=squared), model(STAGES["all"])
    _, gradients = ours.gradients(X, Y, by_name=True)
    np.testing.assert_allclose(
        gradients["inputs.0.weight_1"], builtin.gradients(X, Y, by_name=True)[1]["inputs.0.weight_1"]
    )
    for net in (ours, builtin):
        net.fit(X, Y, epochs=1, verbose=0)
    for name, array in builtin.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], array, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", [bpkern.MLP, reference.MLP])
@pytest.mark.parametrize("average", [{}, {"ema": 0.9}], ids=["trained", "average"])
def test_set_weights_of_get_weights_predicts_the_same(stage, kind, average):
    net = model(stage, kind, optimizer=bpkern.Adam(0.01))
    net.fit(X, Y, epochs=2, verbose=0, **average)
    predicted = net.predict(X)
    net.set_weights(net.get_weights())
    assert net.predict(X).tobytes() == predicted.tobytes()


@pytest.mark.parametrize("outputs", [1, 2])
def test_layers_behind_a_wide_stage_have_the_bits_of_a_wide_net(outputs):
    """Which few columns of X become many inputs: layer 0 is stored and summed by their number."""
    codes = np.arange(20.0).reshape(-1, 1) % 7
    behind = bpkern.MLP([1, outputs], inputs=[CategoryEmbedding(0, 7, dim=200)], loss="mse", seed=1)
    plain = bpkern.MLP([200, outputs], loss="mse")
    plain.set_weights(behind.get_weights())
    table = behind.state_dict()["inputs.0.weight"]
    assert behind.predict(codes).tobytes() == plain.predict(table[codes[:, 0].astype(int)]).tobytes()


@pytest.mark.parametrize("suffix", ["npz", "pickle", "copy"])
def test_a_saved_model_continues_to_the_bit(stage, suffix, tmp_path):
    net = model(stage, optimizer=bpkern.Adam(0.01, amsgrad=True))
    net.fit(X, Y, epochs=2, ema=0.9, verbose=0)
    if suffix == "npz":
        net.save(tmp_path / "net.npz")
        other = bpkern.MLP.load(tmp_path / "net.npz")
        assert (tmp_path / "net.npz").stat().st_size > 0
    else:
        other = pickle.loads(pickle.dumps(net)) if suffix == "pickle" else copy.deepcopy(net)
    assert repr(other) == repr(net)
    assert bits(other) == bits(net)
    for each in (net, other):
        each.fit(X, Y, epochs=2, ema=0.9, verbose=0)
    assert bits(other) == bits(net)


def test_a_fit_resumes_from_its_checkpoint(tmp_path):
    def fitted(epochs, path, **how):
        net = model(STAGES["all"], optimizer="adam")
        net.fit(X, Y, epochs=epochs, checkpoint=path, verbose=0, **how)
        return net

    whole = fitted(4, tmp_path / "whole.npz")
    fitted(2, tmp_path / "part.npz")
    assert bits(fitted(4, tmp_path / "part.npz", resume=True)) == bits(whole)
    plain = model([], optimizer="adam")
    with pytest.raises(ValueError, match="inputs"):
        plain.fit(X, Y, epochs=4, checkpoint=tmp_path / "part.npz", resume=True, verbose=0)


def test_reset_weights_and_blends(stage):
    net = model(stage)
    start = bits(net)
    net.fit(X, Y, epochs=1, verbose=0)
    trained = net.state_dict()
    net.set_weights(net.get_weights())  # leaves the inputs
    assert bits(net) == b"".join(array.tobytes() for array in trained.values())
    other = model(stage)
    other.polyak_update(net, 1.0)
    assert bits(other) == bits(net)
    net.reset()
    assert bits(net) == start
    with pytest.raises(ValueError, match="inputs"):
        other.polyak_update(model([Scale(lr_factor=2)]), 0.5)


def test_the_best_epoch_is_restored_with_its_inputs():
    net, best = model(STAGES["all"], optimizer=bpkern.SGD(0.2)), {}

    class Watch(bpkern.callbacks.Callback):
        def on_epoch_end(self, model, epoch, metrics):
            if not best or metrics["val_loss"] < best["loss"]:
                best.update(loss=metrics["val_loss"], bits=bits(model))

    stop = bpkern.callbacks.EarlyStopping(patience=2)
    net.fit(X, Y, epochs=8, validation_data=(X[:9], -Y[:9]), callbacks=[Watch(), stop], verbose=0)
    assert net.history_.best_epoch < len(net.history_["loss"]) - 1
    assert bits(net) == best["bits"]


@pytest.mark.parametrize("lr", [1e200, 1e308])
def test_divergence_is_undone(lr):
    net = model(STAGES["all"], optimizer=bpkern.SGD(lr))
    before = bits(net)
    with pytest.raises(bpkern.DivergedError):
        net.fit(X, Y * 1e100, epochs=3, batch_size=ROWS, verbose=0)
    assert all(np.isfinite(array).all() for array in net.state_dict().values())
    net.reset()
    with pytest.raises(bpkern.DivergedError):
        net.train_on_batch(X, Y * 1e150)
    assert bits(net) == before


def test_summary_counts_the_inputs():
    net = model(STAGES["all"])
    summary = net.summary()
    assert summary.parameters == sum(array.size for array in net.state_dict().values())
    text = str(summary)
    assert "CategoryEmbedding" in text
    assert "MLP 6-11-2" in text


def test_fit_many_trains_models_with_inputs():
    alone = [model(STAGES["all"], seed=seed) for seed in (1, 2)]
    together = [model(STAGES["all"], seed=seed) for seed in (1, 2)]
    bpkern.fit_many(together, X, Y, epochs=2)
    for net, other in zip(alone, together, strict=True):
        net.fit(X, Y, epochs=2, verbose=0)
        assert bits(net) == bits(other)


BAD_CODES = [(5, "from 0 to 4"), (-1, "from 0 to 4"), (1.5, "whole numbers"), (np.nan, "no finite number")]


@pytest.mark.parametrize(("code", "message"), BAD_CODES)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_wrong_code_is_named_and_changes_nothing(isa, code, message, threads):
    net = model([TABLE, Scale()])
    wrong = X.copy()
    wrong[[41, 7], CODE] = code
    before = bits(net)
    with pytest.raises(ValueError, match=r"row 7.*column 3") as caught:
        net.fit(wrong, Y, batch_size=ROWS, shuffle=False, n_threads=threads, verbose=0)
    assert message in str(caught.value)
    for call in (net.forward, net.predict, lambda x: net.evaluate(x, Y), lambda x: net.train_on_batch(x, Y)):
        with pytest.raises(ValueError, match=r"row 7.*column 3"):
            call(wrong)
    assert bits(net) == before


def test_codes_of_any_type():
    net, codes = model([TABLE]), X[:, CODE]
    expected = net.forward(X)
    assert (net.forward(np.asfortranarray(X)) == expected).all()
    whole = np.round(X).astype(np.int64)
    whole[:, CODE] = codes
    assert (net.forward(whole) == net.forward(whole.astype(np.float64))).all()


REFUSED = [
    (Scale(), TypeError, "must be a list"),
    ([Scale], TypeError, r"Scale\(\.\.\.\)"),
    (["scale"], TypeError, "bpkern.inputs"),
    ({}, TypeError, "must be a list"),
    ([Scale(), TABLE], ValueError, r"Scale\(\) at their end"),
    ([Scale(), Scale()], ValueError, r"Scale\(\) at their end"),
    ([CategoryEmbedding(6, 5)], ValueError, "columns 0 to 5"),
    ([TABLE, TABLE], ValueError, "column 3 is embedded twice"),
    ([NumericEmbedding([0, 3]), TABLE], ValueError, "column 3 is embedded twice"),
    ([NumericEmbedding([0, 0])], ValueError, "column 0 is embedded twice"),
    ([NumericEmbedding(), NumericEmbedding()], ValueError, "only one"),
    ([NumericEmbedding(range(6)), NumericEmbedding()], ValueError, "there are none"),
]


@pytest.mark.parametrize(("inputs", "error", "message"), REFUSED)
@pytest.mark.parametrize("kind", [bpkern.MLP, reference.MLP])
def test_inputs_that_do_not_fit_are_refused(kind, inputs, error, message):
    with pytest.raises(error, match=message):
        model(inputs, kind)


BAD_SETTINGS = [
    (lambda: Scale(lr_factor=-1), ValueError, "lr_factor"),
    (lambda: Scale(decay_factor=np.inf), ValueError, "decay_factor"),
    (lambda: Scale(lr_factor=1e101), ValueError, r"lr_factor must be from 0 to 1e\+100"),
    (lambda: CategoryEmbedding(-1, 5), ValueError, "column"),
    (lambda: CategoryEmbedding(0, 0), ValueError, "categories"),
    (lambda: CategoryEmbedding(0, 2**24 + 1), ValueError, "categories"),
    (lambda: CategoryEmbedding(0, 5, dim=0), ValueError, "dim"),
    (lambda: CategoryEmbedding(0.5, 5), TypeError, "column"),
    (lambda: NumericEmbedding([]), ValueError, "columns"),
    (lambda: NumericEmbedding("01"), TypeError, "columns"),
    (lambda: NumericEmbedding(5), TypeError, "columns"),
    (lambda: NumericEmbedding(dim=1), ValueError, "dim"),
    (lambda: NumericEmbedding(hidden=0), ValueError, "hidden"),
    (lambda: NumericEmbedding(sigma=0), ValueError, "sigma"),
]


@pytest.mark.parametrize(("make", "error", "name"), BAD_SETTINGS)
def test_settings_out_of_range_are_refused(make, error, name):
    with pytest.raises(error, match=name):
        make()


def test_the_model_keeps_a_copy_of_the_settings():
    scale = Scale()
    net = model([scale])
    scale.lr_factor = 1e9
    assert "lr_factor=1.0" in repr(net)


def test_what_is_not_available_says_so():
    net = model(STAGES["all"], dtype="float32")
    x, y = X.astype("f4"), Y.astype("f4")
    calls = {
        "compress": lambda: net.compress("bfloat16"),
        "trace": lambda: net.trace(x, y),
        "export": lambda: bpkern.export.to_torch(net),
        "by name": lambda: net.apply_gradients(net.gradients(x, y)[1]),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=name) as error:
            call()
        if name != "by name":
            assert str(error.value).endswith("with inputs (NumericEmbedding, CategoryEmbedding, Scale)")


def test_columns_may_be_any_iterable():
    given = NumericEmbedding(column for column in (0, 2))
    assert given.columns == [0, 2]
    assert repr(model([given])) == repr(model([NumericEmbedding([0, 2])]))


def test_states_that_do_not_fit_are_refused(stage):
    net = model(stage)
    before, state = bits(net), net.state_dict()
    name = next(name for name in state if name.startswith("inputs."))
    for wrong in (
        {other: array for other, array in state.items() if other != name},
        {**state, "inputs.9.scale": np.ones(3)},
        {**state, name: np.full_like(state[name], np.nan)},
        {**state, name: state[name][..., :-1]},
    ):
        with pytest.raises(ValueError, match="inputs"):
            net.load_state_dict(wrong)
    assert bits(net) == before


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_stage_agrees_with_the_reference(data):
    columns = data.draw(st.integers(1, 40))
    kinds = data.draw(st.lists(st.sampled_from("cnp"), min_size=columns, max_size=columns))
    sizes = st.integers(1, 20)
    inputs = [
        CategoryEmbedding(j, data.draw(st.integers(1, 9)), dim=data.draw(sizes))
        for j, kind in enumerate(kinds)
        if kind == "c"
    ]
    numbers = [j for j, kind in enumerate(kinds) if kind == "n"]
    if numbers:
        inputs.append(NumericEmbedding(numbers, hidden=data.draw(sizes), dim=data.draw(st.integers(2, 11))))
    if data.draw(st.booleans()) or not inputs:
        inputs.append(Scale())
    rows = data.draw(st.integers(1, 30))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, columns)), rng.normal(size=(rows, 3))
    for one in inputs:
        if isinstance(one, CategoryEmbedding):
            x[:, one.column] = rng.integers(0, one.categories, rows)
    batch = data.draw(st.integers(1, 30))
    nets = [
        kind([columns, 5, 3], inputs=inputs, loss="mse", dtype="float64", seed=0)
        for kind in (bpkern.MLP, reference.MLP)
    ]
    for net in nets:
        net.fit(x, y, epochs=1, batch_size=batch, verbose=0)
    np.testing.assert_allclose(nets[0].forward(x), nets[1].forward(x), atol=1e-10)
    state = nets[0].state_dict()
    for name, array in nets[1].get_inputs().items():
        np.testing.assert_allclose(state[name], array, atol=1e-10, err_msg=name)
