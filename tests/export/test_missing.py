"""Without the optional libraries: an error that names the extra, and everything else works."""

import sys

import numpy as np
import pytest

import bpkern
from bpkern import export


@pytest.mark.parametrize(
    ("library", "extra", "whose", "call"),
    [
        ("onnx", "onnx", "to_onnx", lambda model, path: export.to_onnx(model)),
        ("onnx", "onnx", "MLP.from_onnx", lambda model, path: bpkern.MLP.from_onnx(path, loss="mse")),
        ("torch", "torch", "to_torch", lambda model, path: export.to_torch(model)),
        ("torch", "torch", "MLP.from_torch", lambda model, path: bpkern.MLP.from_torch(None, loss="mse")),
        (
            "safetensors.numpy",
            "safetensors",
            "a .safetensors file",
            lambda model, path: export.to_safetensors(model, path),
        ),
    ],
)
def test_the_error_names_the_extra(library, extra, whose, call, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, library, None)
    model = bpkern.MLP([2, 1], loss="mse", seed=0)
    with pytest.raises(
        ModuleNotFoundError, match=rf"^{whose} needs {extra}: pip install 'bpkern\[{extra}\]'$"
    ):
        call(model, str(tmp_path / "net.safetensors"))
    assert export.to_c(model).startswith("/*")
    assert not list(tmp_path.iterdir())


def test_a_library_that_is_broken_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "onnx.py").write_text("import nowhere_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnx", raising=False)
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        export.to_onnx(bpkern.MLP([2, 1], loss="mse"))


def test_averages_and_compressed_weights_are_those_that_predict():
    """The exported weights are those of `get_weights`: an average, or numbers of bfloat16."""
    model = bpkern.MLP([3, 4, 2], loss="mse", seed=0)
    X, y = np.random.default_rng(0).normal(size=(2, 20, 3)).astype(np.float32)
    model.fit(X, y[:, :2], epochs=2, ema=0.9, verbose=0)
    for each in (model, model.compress("bfloat16")):
        for (w, b), (exported_w, exported_b) in zip(
            each.get_weights(), export.net_of(each).weights, strict=True
        ):
            assert np.array_equal(w, exported_w)
            assert np.array_equal(b, exported_b)


def test_constants_in_c_are_exact():
    """The text of each float32 means the same number."""
    from bpkern._export.c_arrays import numbers

    bits = np.random.default_rng(0).integers(0, 1 << 32, 5000, np.uint32)
    array = bits.view(np.float32)
    array = np.append(array[np.isfinite(array)], np.float32([0, -0.0, 1e-45, 3.4028235e38, 1, 1e9]))
    texts = numbers(array)
    assert all(text.endswith("f") and ("." in text or "e" in text) for text in texts)
    assert np.array_equal(np.array([float(text[:-1]) for text in texts], np.float32), array)


def test_a_bad_suffix_and_a_bad_path(tmp_path):
    model = bpkern.MLP([2, 1], loss="mse", seed=0)
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        export.to_safetensors(model, tmp_path / "net.npz")
    with pytest.raises(TypeError, match="path must be"):
        export.to_safetensors(model, 3)
    pytest.importorskip("safetensors")
    with pytest.raises(FileNotFoundError):
        export.to_safetensors(model, tmp_path / "none" / "net.safetensors")
