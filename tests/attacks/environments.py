"""The same bits in every environment: NumPy's and BLAS's choices of code and threads, and the C library's.

python tests/attacks/environments.py [environments] [--trials N]

A trial is an environment. A process in it trains models, and prints a digest for each of its results.
"""

import itertools
import os
import subprocess
import sys

import numpy as np
from journal import ROOT, Journal, attack, main

# Each variable with the values to combine; "" is its absence. Names that a processor lacks have no effect.
CHOICES = {
    "NPY_DISABLE_CPU_FEATURES": ("", "AVX512_SKX AVX512_ICL AVX512_SPR", "X86_V4", "X86_V3 X86_V4"),
    "OPENBLAS_NUM_THREADS": ("", "1", "2"),
    "OPENBLAS_CORETYPE": ("", "Haswell", "Nehalem"),
    "GLIBC_TUNABLES": (
        "",
        "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-AVX512VL",
        "glibc.malloc.perturb=85:glibc.malloc.tcache_count=0",
    ),
}
ENVIRONMENTS = [
    {name: value for name, value in zip(CHOICES, values, strict=True) if value}
    for values in itertools.product(*CHOICES.values())
]

# Prints "name digest" for each result. What SciPy, scikit-learn and `bpkern.reference` compute is left out.
USE = """
import hashlib, warnings
import numpy as np
import bpkern
from bpkern.callbacks import EarlyStopping

def show(name, *results):
    print(name, hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in results)).hexdigest()[:16])

def weights(model):
    return [array for pair in model.get_weights() for array in pair]

def absolute(outputs, targets):
    return abs(outputs - targets).mean(axis=1), np.sign(outputs - targets) / 5

rng = np.random.default_rng(0)
X = rng.standard_normal((400, 37))
labels, values = rng.integers(0, 5, 400), rng.standard_normal((400, 5))
for dtype in ("float32", "float64"):
    for init in ("auto", "glorot_normal", "he_normal", "he_uniform", "lecun_normal", "orthogonal"):
        drawn = bpkern.MLP([37, 150, 90, 5], init=init, loss="mse", seed=0, dtype=dtype)
        show(f"init {init} {dtype}", *weights(drawn))
    for loss, y in (("cross_entropy", labels), ("mse", values), ("binary_cross_entropy", values > 0)):
        model = bpkern.MLP(
            [37, 150, 90, 5], activation=["gelu", "tanh"], loss=loss, dropout=0.1, l1=1e-5, l2=1e-4,
            optimizer=bpkern.Adam(lr=bpkern.schedules.Cosine(0.01, 60)), seed=0, dtype=dtype,
        )
        history = model.fit(
            X, y, epochs=3, validation_split=0.25, sample_weight=rng.random(400),
            clip_norm=1.0, accumulate=2, ema=0.9, callbacks=[EarlyStopping()],
            class_weight="balanced" if loss == "cross_entropy" else None,
            metrics=["mae", "rmse", "r2"] if loss == "mse" else ["f1", "precision", "recall", "accuracy"],
        )
        name = f"{loss} {dtype}"
        show(f"fit {name}", *weights(model))
        for metric, numbers in history.items():
            show(f"{metric} {name}", numbers)
        show(f"forward {name}", model.forward(X))
        show(f"predict {name}", model.predict(X))
        show(f"losses {name}", model.losses(X, y))
        loss_value, gradients = model.gradients(X, y)
        show(f"gradients {name}", loss_value, *(array for pair in gradients for array in pair))
        measured = model.evaluate(X, y, sample_weight=rng.random(400))
        show(f"evaluate {name}", *measured.values())
        if loss == "mse":
            custom = bpkern.MLP([37, 20, 5], loss=absolute, seed=0, dtype=dtype)
            history = custom.fit(X, y, epochs=2, validation_split=0.5, sample_weight=rng.random(400))
            show(f"own loss {name}", *weights(custom), *history.values())
        else:
            show(f"predict_proba {name}", model.predict_proba(X))
"""


def digests(more: dict[str, str]) -> dict[str, str]:
    """The digests of a process with these variables, by name."""
    plain = {name: value for name, value in os.environ.items() if name not in CHOICES}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", USE],
        cwd=ROOT,
        env=plain | more,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"the process": f"exit {done.returncode}: {done.stderr[-600:]}"}
    return dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())


@attack(trials=len(ENVIRONMENTS))
def environments(journal: Journal) -> str:
    """NumPy's CPU dispatch, BLAS's threads and code, and glibc's tunables change no bit of any result."""
    # In an order that varies all of them early, for the short form.
    order = np.random.default_rng(journal.seed).permutation(len(ENVIRONMENTS))
    expected = digests({})
    if len(expected) < 2:
        sys.exit(f"without variables: {expected}")
    for trial in journal:
        found = digests(ENVIRONMENTS[order[trial]])
        differing = sorted(
            name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
        )
        for name in differing:
            journal.count(name)
        if differing:
            journal.fail(trial, f"{ENVIRONMENTS[order[trial]]}: {', '.join(differing)}")
    return f"{len(expected)} results each, of {len(ENVIRONMENTS)} environments"


if __name__ == "__main__":
    main(__file__)
