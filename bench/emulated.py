"""How close the products on NEON come to the units for fma, without a processor that has it.

python bench/emulated.py [--isa neon] [--mca llvm-mca-19] [--root .attacks/cross_built/root]

QEMU counts the instructions of forward, delta and update of a layer 784 -> 256 at 64 rows. llvm-mca computes
the clocks of a stretch of the executed instructions, for models of processors: all data are in the first
cache, and all branches are predicted. The peak of a model comes from independent fma. With the files of a
Python and a NumPy for aarch64 under a folder, where tests/attacks/cross_built.py puts them, NumPy's products
are counted, too. The C library is compiled first, in a temporary folder. Needed: gcc, gcc-aarch64-linux-gnu,
qemu-user (with plugins), CMake, Make and llvm-mca 19.
"""

import argparse
import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CPUS = ("apple-m1", "neoverse-v1", "neoverse-n1")
QEMU = ("qemu-aarch64", "-cpu", "cortex-a76")
# The first block of the stretch, counted in blocks with fma, and the length of the stretch.
STRETCHES = {"forward": 1500, "delta": 1500, "update": 3000}
BLOCKS = 150
NUMPY = """
import sys, numpy as np
x, w, d = (np.ones(shape, np.float32) for shape in ((64, 784), (256, 784), (64, 256)))
for _ in range(int(sys.argv[2])):
    {"forward": lambda: x @ w.T, "delta": lambda: d @ w, "update": lambda: d.T @ x}[sys.argv[1]]()
"""


def run(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(map(str, command), capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done


def built(folder: Path) -> tuple[Path, Path]:
    """The program layer_products for aarch64, and the plugin."""
    compiler = "aarch64-linux-gnu-gcc"
    cross = (
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_C_COMPILER={compiler}",
    )
    run("cmake", "-S", ROOT, "-B", folder, "-DBPKERN_PYTHON=OFF", *cross)
    run("cmake", "--build", folder, "--target", "bpkern_c", "--parallel")
    program, plugin = folder / "layer_products", folder / "count_instructions.so"
    library = next(folder.rglob("libbpkern_c.a"))
    sources = (ROOT / "bench/layer_products.c", library)
    run(
        compiler,
        "-O2",
        "-static",
        f"-I{ROOT}/csrc",
        "-DBPK_X86=0",
        *sources,
        "-lm",
        "-pthread",
        "-o",
        program,
    )
    run("gcc", "-O2", "-shared", "-fPIC", ROOT / "bench/count_instructions.c", "-o", plugin)
    return program, plugin


def counted(plugin: Path, command: list) -> str:
    """The instructions of one repeat: the command's last argument is the number of repeats."""

    def counts(repeats: int) -> list[int]:
        done = run(*QEMU, "-plugin", plugin, *command, str(repeats))
        return [int(n) for n in re.search(r"count (\d+) (\d+) (\d+) (\d+)", done.stderr).groups()]

    total, fma, loads, stores = ((many - one) // 10 for one, many in zip(counts(1), counts(11), strict=True))
    return f"{total} instructions ({fma} fma, {loads} loads, {stores} stores)"


def disassembly(program: Path) -> dict[int, str]:
    text = run("aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", program).stdout
    lines = re.findall(r"^\s*([0-9a-f]+):\t([^/<\n]+)", text, re.M)
    return {int(address, 16): instruction.strip() for address, instruction in lines}


def stretch(program: Path, plugin: Path, command: list, skip: int) -> list[str]:
    """Executed instructions. Jumps, which are predicted, become nop."""
    done = run(*QEMU, "-plugin", f"{plugin},skip={skip},most={BLOCKS}", *command, "3")
    blocks = [(int(at, 16), int(n)) for at, n in re.findall(r"^block (\w+) (\d+)", done.stderr, re.M)]
    text = disassembly(program)
    found = [text[at + 4 * i] for at, n in blocks for i in range(n)]
    return [re.sub(r"^(b|bl|br|blr|ret|b\.\w+|cbn?z|tbn?z)\b.*", "nop", line) for line in found]


def clocks(mca: str, cpu: str, lines: list[str], repeats: int = 20) -> float:
    options = ("-mtriple=aarch64", f"-mcpu={cpu}", f"-iterations={repeats}")
    done = run(mca, *options, "-instruction-info=false", "-resource-pressure=false", input="\n".join(lines))
    return int(re.search(r"Total Cycles:\s+(\d+)", done.stdout)[1]) / repeats


def peak(mca: str, cpu: str) -> float:
    """Independent fma per clock."""
    lines = [f"fmla v{i}.4s, v30.4s, v31.s[0]" for i in range(24)]
    return len(lines) / clocks(mca, cpu, lines, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--isa", default="neon")
    parser.add_argument("--mca", default="llvm-mca", help="the program llvm-mca (llvm-mca)")
    parser.add_argument("--root", type=Path, help="the folder of a Python and a NumPy for aarch64")
    args = parser.parse_args()
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as folder:
        program, plugin = built(Path(folder))
        peaks = {cpu: peak(args.mca, cpu) for cpu in CPUS}
        for product, skip in STRETCHES.items():
            command = [program, args.isa, product]
            print(f"{product}: {counted(plugin, command)}")
            lines = stretch(program, plugin, command, skip)
            fma = sum(line.startswith("fml") for line in lines)
            loads = sum(line.startswith("ld") for line in lines)
            rates = [f"{cpu} {fma / clocks(args.mca, cpu, lines):.2f} of {peaks[cpu]:.2f}" for cpu in CPUS]
            print(f"  {fma / loads:.2f} fma per load; fma per clock: {', '.join(rates)}")
            if args.root:
                python = next((args.root / "usr/bin").glob("python3.*[0-9]"))
                print(f"  NumPy: {counted(plugin, ['-L', args.root, python, '-c', NUMPY, product])}")


if __name__ == "__main__":
    main()
