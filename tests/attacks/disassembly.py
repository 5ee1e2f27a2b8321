"""The compilers' output, instruction by instruction.

python tests/attacks/disassembly.py [gcc ...] [--trials N]

Builds the extension under .attacks/ and reads every object file. In files for all processors, an instruction
that only some of them have would crash the others.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from journal import ROOT, STATE, Journal, Missing, attack, main

from bpkern import _core

ISAS = _core.compiled_isas()
LEVELS = ("baseline", *ISAS[1:])
KERNEL = re.compile(rf"_({'|'.join(ISAS[1:])})_f(32|64)$")

# Prefixes of instructions.
PREFIXES = {"lock", "rep", "repz", "repnz", "cs", "ds", "es", "ss", "data16", "addr32", "bnd", "notrack"}

# Instructions of extensions that dispatch does not check for. tzcnt is allowed: gcc writes bsf as `rep bsf`,
# which disassembles as tzcnt, where both give the same result.
NEVER = re.compile(
    r"(andn|bextr|blsi|blsmsk|blsr|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|lzcnt|popcnt|movbe|adcx|adox"
    r"|crc32|rdrand|rdseed|rdfsbase|rdgsbase|cmpxchg16b|lahf|sahf|v?aes\w+|v?pclmul\w+|sha(1|256)\w+|v?gf2p8\w+"
    r"|x(save|rstor)\w*|xbegin|xend|xabort|clwb|clflushopt|prefetchw\w*|monitor|mwait|vcvtph2ps|vcvtps2ph)[bwlq]?"
)
# Instructions of AVX-512 extensions beyond F, DQ, BW and VL; "ph" and "sh" at the end mean half precision.
NEVER_512 = re.compile(
    r"vpconflict\w+|vplzcnt\w+|vpbroadcastm\w+|vpermb|vperm[it]2b|vpmultishiftqb|vpmadd52\w+|vp(compress|expand)[bw]"
    r"|vpsh[lr]d\w*|vp?dp\w+|vpopcnt\w+|vpshufbitqmb|vcvtne\w*bf16|vexp2\w+|vrcp28\w+|vrsqrt28\w+|v4f\w+|vp4dp\w+"
    r"|vgatherpf\w+|vscatterpf\w+|vp2intersect\w+|v(?!pp)\w+(ph|sh)"
)
# SSE3, SSSE3, SSE4.1, SSE4.2 and SSE4A.
BEYOND_SSE2 = re.compile(
    r"addsubp[sd]|h(add|sub)p[sd]|lddqu|mov(ddup|shdup|sldup)|fisttp\w*"
    r"|pshufb|palignr|pabs[bwd]|psign[bwd]|ph(add|sub)(w|d|sw)|pmaddubsw|pmulhrsw"
    r"|p?blendv?\w+|dpp[sd]|extractps|insertps|mpsadbw|packusdw|pcmpeqq|pcmpgtq|pextr[bdq]|pinsr[bdq]|phminposuw"
    r"|p(min|max)(sb|sd|uw|ud)|pmov[sz]x\w+|pmuldq|pmulld|ptest|round[ps][sd]|movntdqa|pcmp[ei]str[im]"
    r"|extrq|insertq|movnts[sd]"
)
WIDE_REGISTERS = re.compile(r"%[yz]mm\d+|%k[0-7]\b|%xmm(1[6-9]|2\d|3[01])")
EVEX_REGISTERS = re.compile(r"%zmm\d+|%k[0-7]\b|%[xy]mm(1[6-9]|2\d|3[01])|\{1to\d+\}|\{r[nuzd]-sae\}|\{sae\}")


def is_masked_store(name: str, operands: str) -> bool:
    """Whether the instruction is a masked store of AVX2, which is microcode on some processors."""
    return "maskmov" in name and operands.endswith(")")


def complaint(name: str, operands: str, level: str) -> bool:
    """Whether the instruction is not of this level."""
    if NEVER.fullmatch(name):
        return True
    if level in ("baseline", "generic"):
        vex = name.startswith("v") and name not in ("verr", "verw")
        return vex or bool(WIDE_REGISTERS.search(operands) or BEYOND_SSE2.fullmatch(name))
    if level == "avx2":
        return bool(EVEX_REGISTERS.search(operands)) or is_masked_store(name, operands)
    if level == "avx512":
        return bool(NEVER_512.fullmatch(name))
    raise Missing(f"no rules for the instructions of {level}")


def instructions(path: Path) -> list[tuple[str, str, str]]:
    """(function, instruction, operands) of an object file."""
    command = ["objdump", "-d", "--no-show-raw-insn", "-w", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found, function = [], ""
    for line in text.splitlines():
        if line.endswith(">:"):
            function = line.partition("<")[2][:-2]
        elif "\t" in line:
            words = line.partition("\t")[2].split()
            while words and (words[0] in PREFIXES or words[0].startswith(("rex", "{"))):
                words.pop(0)
            if words:
                found.append((function, words[0], " ".join(words[1:])))
    return found


def symbols(path: Path) -> list[tuple[str, str]]:
    """(type, name) of every symbol, from nm."""
    lines = subprocess.run(["nm", str(path)], capture_output=True, text=True, check=True).stdout.splitlines()
    return [(words[-2], words[-1]) for words in map(str.split, lines)]


class Object(NamedTuple):
    """An object file: its source, and for kernels the instruction set and dtype that it is compiled for."""

    source: Path
    isa: str = ""
    double: int = 0

    @property
    def level(self) -> str:
        """The level of instructions that it may hold."""
        return self.isa if self.isa in LEVELS else "baseline"

    @property
    def target(self) -> str:
        """CMake's target that it belongs to."""
        if self.source.name == "_core.c":
            return "_core"
        return f"kernels_{self.isa}_{self.double}" if self.isa else "bpkern_c"

    def __str__(self) -> str:
        return f"{self.source.name} of {self.target}"


def objects() -> Iterator[Object]:
    """Every object file, in the order of the trials."""
    csrc, kernels = ROOT / "csrc", ROOT / "csrc" / "kernels"
    table, online = kernels / "table.c", csrc / "trainer" / "online.c"
    for isa in ISAS:
        bodies = sorted((kernels / ("scalar" if isa == "scalar" else "vector")).glob("*.c"))
        for source in (*bodies, table, *([] if isa == "scalar" else [online])):
            yield from (Object(source, isa, double) for double in (0, 1))
    once = {*csrc.glob("*.c"), *csrc.glob("platform/*.c"), *csrc.glob("trainer/*.c"), *kernels.glob("*.c")}
    yield from map(Object, sorted(once - {table, online}))
    yield Object(Path("_core.c"))


OBJECTS = list(objects())


def built(compiler: str) -> Path:
    """The folder of a build by the compiler."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for tool in ("cmake", "objdump", "nm", "readelf"):
        if shutil.which(tool, path=path) is None:
            raise Missing(f"there is no {tool}")
    # Some systems have the compiler only under a name with its version.
    names = [compiler, *(f"{compiler}-{version}" for version in range(30, 10, -1))]
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if found is None:
        raise Missing(f"there is no {compiler}")
    folder = STATE.resolve() / f"disassembly_{compiler}"
    settings = [
        f"-DCMAKE_C_COMPILER={found}",
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]
    steps = [
        ["cmake", "-S", str(ROOT), "-B", str(folder), *settings],
        ["cmake", "--build", str(folder), "--target", "_core", "-j", "2"],
    ]
    for step in steps:
        done = subprocess.run(
            step, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(step)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return folder


def path_of(folder: Path, item: Object) -> Path:
    found = list((folder / "CMakeFiles" / f"{item.target}.dir").rglob(f"{item.source.name}.o"))
    if len(found) != 1:
        raise RuntimeError(f"{item}: {len(found)} object files {found}")
    return found[0]


def check_symbols(path: Path, item: Object) -> str:
    """What is wrong with the symbols that the file defines and uses, or ""."""
    level = item.level
    for kind, name in symbols(path):
        if kind in "wvVWu" and name != "__gmon_start__":
            # The linker keeps one copy, of any of the files: perhaps of one with wide instructions.
            return f"a weak symbol {name}"
        if level != "baseline" and kind in "TDRBC" and f"_{level}_f" not in name:
            return f"a global symbol without its instruction set, {name}"
        wide = KERNEL.search(name)
        if kind == "U" and wide and wide[1] != level and item.source.name != "dispatch.c":
            return f"a use of {name} without dispatch"
    return ""


def check_all(journal: Journal, compiler: str) -> str:
    folder = built(compiler)
    for trial in journal:
        item = OBJECTS[trial]
        path, level = path_of(folder, item), item.level
        found = instructions(path)
        wrong = [
            f"{function}: {name} {operands}"
            for function, name, operands in found
            if complaint(name, operands, level)
        ]
        if wrong:
            journal.fail(trial, f"{item}, for {level}, has {len(wrong)} beyond it: {'; '.join(wrong[:3])}")
        if told := check_symbols(path, item):
            journal.fail(trial, f"{item}: {told}")
        if level != "baseline" and item.source.name != "table.c":
            # Check the rules: some instructions of this level must be refused by the level below.
            below = LEVELS[LEVELS.index(level) - 1]
            if not any(complaint(name, operands, below) for _, name, operands in found):
                journal.fail(trial, f"{item} holds nothing that {below} does not have")
        journal.count("instructions", len(found))
    return f"{journal.figures['instructions']} instructions of {len(OBJECTS)} objects"


@attack(trials=len(OBJECTS))
def gcc(journal: Journal) -> str:
    """Built by gcc, only dispatched objects hold wide instructions, and only those dispatch checks for."""
    return check_all(journal, "gcc")


@attack(trials=len(OBJECTS))
def clang(journal: Journal) -> str:
    """Built by clang, only dispatched objects hold wide instructions, and only those dispatch checks for."""
    return check_all(journal, "clang")


@attack(trials=1)
def constructors(journal: Journal) -> str:
    """The extension's only constructor is the C runtime's: none sets a fast mode while it is loaded."""
    folder = built("gcc")
    for trial in journal:
        (library,) = folder.glob("_core*.so")
        names = {name for _, name in symbols(library)}
        if fast := {name for name in names if "fast_math" in name}:
            journal.fail(trial, f"the extension has {fast}")
        sections = subprocess.run(
            ["readelf", "-SW", str(library)], capture_output=True, text=True, check=True
        ).stdout
        found = re.search(r"\.init_array\s+INIT_ARRAY\s+\w+\s+\w+\s+(\w+)", sections)
        entries = int(found[1], 16) // 8 if found else 0
        journal.keep("constructors", max, entries)
        if entries > 1 or "frame_dummy" not in names:
            journal.fail(trial, f"the extension has {entries} constructors")
    return f"{journal.figures['constructors']}, frame_dummy"


if __name__ == "__main__":
    main(__file__)
