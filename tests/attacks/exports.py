"""C files of exported networks, by more compilers than the suite's and on an emulated Cortex-M4.

python tests/attacks/exports.py [c_files c_digits] [--trials N]

Needed: gcc; of clang, avr-gcc and arm-none-eabi-gcc with newlib and QEMU's system emulator (Debian's gcc-avr,
avr-libc, gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm), those that are there are used.
"""

import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from journal import ROOT, Missing, attack, main

sys.path.insert(0, str(ROOT / "tests" / "support"))

from export_helpers import WARNINGS, assert_c_agrees, compiled, predicted_by_c, random_model

import bpkern
from bpkern import export
from bpkern.preprocessing import TableEncoder, TableModel

KINDS = ("float32", "int8")
SCALINGS = ("robust", "standard", "quantile")
CORTEX = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
PLACES = ("--section-start=.vectors=0", "--section-start=.init=0x8000", "-Tdata=0x20000000", "--entry=reset")
MACHINE = "qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none -semihosting -kernel"

# The reset of a Cortex-M4, which switches the FPU on, before newlib's own start.
START = """
extern void _start(void);
void reset(void) {
    *(volatile unsigned *)0xE000ED88u |= 0xFu << 20;
    __asm volatile("dsb\\n isb");
    _start();
}
static void stop(void) { for (;;) {} }
__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    (void *)0x20400000u, (void *)reset, (void *)stop, (void *)stop, (void *)stop, (void *)stop, (void *)stop};
"""

# Prints the class of each row of a file.
DIGITS = """
#include <stdio.h>
void net_predict(const float *x, float *out);
int net_class(const float *out);
int main(void) {
    static float x[784], out[10];
    FILE *rows = fopen("rows", "rb");
    while (rows && fread(x, sizeof x, 1, rows) == 1) {
        net_predict(x, out);
        printf("%d\\n", net_class(out));
    }
    return 0;
}
"""


def run(command: list[object], folder: Path) -> str:
    """What the command prints. Raises AssertionError for a status above 0."""
    found = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, timeout=600)
    if found.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: {found.stdout}{found.stderr}"[:2000])
    return found.stdout


def on_cortex(folder: Path, sources: list[str], options: list[str]) -> str:
    """What a program prints on the emulated Cortex-M4, whose status must be 0."""
    (folder / "start.c").write_text(START)
    objects = []
    for source in [*sources, "start.c"]:
        strict = WARNINGS if source == "net.c" else ("-std=gnu99",)
        run(
            ["arm-none-eabi-gcc", *CORTEX, "-O2", *strict, *options, "-c", source, "-o", f"{source}.o"],
            folder,
        )
        objects.append(f"{source}.o")
    linked = [f"-Wl,{place}" for place in PLACES]
    library = ["--specs=rdimon.specs", "-lm", *linked]
    run(["arm-none-eabi-gcc", *CORTEX, *objects, *library, "-o", "net.elf"], folder)
    return run([*MACHINE.split(), "net.elf"], folder)


def has_cortex() -> bool:
    return all(map(shutil.which, ("arm-none-eabi-gcc", MACHINE.split()[0])))


def table_model(number: int) -> tuple[TableModel, dict[str, np.ndarray]]:
    """A network behind an encoder of numbers with gaps and of texts, and a table."""
    rng = np.random.default_rng(number)
    table = {"a": rng.normal(size=40), "b": rng.choice(["x", "y", "z"], 40).astype(object)}
    table["a"][::9] = np.nan
    encoder = TableEncoder(scaling=SCALINGS[number // 3 % len(SCALINGS)]).fit(table)
    net = bpkern.MLP([len(encoder.get_feature_names_out()), 5, 1], loss="mse", seed=number)
    return TableModel(encoder, net, center=rng.normal(), spread=2.0), table


def check_one(number: int, folder: Path) -> list[str]:
    """All compilers on one network, every third time on one with an encoder, too; those that were used."""
    cases: list[Any] = [random_model(number)] + [table_model(number)] * (number % 3 == 0)
    used: list[str] = []
    for (model, X), kind in product(cases, KINDS):
        text = export.to_c(model, weights=kind, data=X)
        for command in (
            ["gcc", "-O2"],
            ["clang", "-O3"],
            ["gcc", "-O3", "-march=native", "-ffp-contract=fast"],
        ):
            if shutil.which(command[0]):
                library = compiled(text, folder, f"{kind}{len(used)}", command)
                if isinstance(model, bpkern.MLP):
                    assert_c_agrees(model, X, predicted_by_c(library, X, model.layers[-1])[0], kind)
                assert library.net_test() == 0
                used.append(command[0])
        if shutil.which("avr-gcc"):
            run(["avr-gcc", "-mmcu=atmega2560", "-Os", *WARNINGS, "-c", "net.c", "-o", "net.o"], folder)
            used.append("avr-gcc")
        if has_cortex():
            on_cortex(folder, ["net.c"], ["-DNET_TEST_MAIN"])
            used.append("arm-none-eabi-gcc")
    return sorted(set(used))


@attack(trials=100)
def c_files(journal):
    """C files of random networks compile without warnings and predict within the bound of rounding."""
    if not shutil.which("gcc"):
        raise Missing("there is no gcc")
    for trial in journal:
        with tempfile.TemporaryDirectory() as folder:
            try:
                used = check_one(trial, Path(folder))
                journal.keep("compilers", max, ", ".join(used))
            except (AssertionError, subprocess.SubprocessError) as error:
                journal.fail(trial, str(error))
    return f"by {journal.figures.get('compilers')}"


def digits_of_28() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits of 8 x 8, interpolated to 28 x 28."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    places = np.linspace(0, 7, 28)
    low = np.minimum(places.astype(int), 6)
    high = np.zeros((28, 8))
    high[np.arange(28), low], high[np.arange(28), low + 1] = 1 - (places - low), places - low
    return (high @ (X.reshape(-1, 8, 8) / 16) @ high.T).reshape(-1, 784).astype(np.float32), y


@attack(trials=2)
def c_digits(journal):
    """The C file of 784-128-10 finds the same classes on a Cortex-M4 as bpkern, for all digits."""
    if not has_cortex():
        raise Missing("there is no arm-none-eabi-gcc, or no qemu-system-arm")
    X, y = digits_of_28()
    model = bpkern.MLP([784, 128, 10], loss="cross_entropy", optimizer=bpkern.Adam(), seed=0)
    model.fit(X, y, epochs=8, verbose=0)
    for trial in journal:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "net.c").write_text(export.to_c(model, weights=KINDS[trial], data=X))
            (folder / "digits.c").write_text(DIGITS)
            X.tofile(folder / "rows")
            found = np.array(on_cortex(folder, ["net.c", "digits.c"], []).split(), int)
            size = run(["arm-none-eabi-size", "net.c.o"], folder).split()[6]
            journal.keep(f"bytes in {KINDS[trial]}", max, int(size))
            if not np.array_equal(found, model.predict(X)):
                journal.fail(trial, f"{KINDS[trial]}: other classes")
    return ", ".join(f"{name}: {value}" for name, value in sorted(journal.figures.items()))


if __name__ == "__main__":
    main(__file__)
