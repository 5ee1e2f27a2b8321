"""The suite and the C library under the compilers' sanitizers.

python tests/attacks/sanitizers.py [address_gcc ...] [--trials N] [--seed S] [--state DIR] [--anew]

A trial of `address_...` and `leaks` is a file of tests. Those that reach most of the C code come first, so
that a few trials are a short form. A trial of `races` is a file of tests with several threads. `library` and
`threads` run a C program, threads.c. The builds are kept in .attacks/ and need what
`pip install --no-build-isolation` of the package needs.
"""

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from journal import ROOT, STATE, Journal, Missing, attack, main
from suite import FILES, WITH_THREADS, environment, install, make, run_tests, tests_made

SANITIZERS = "address,undefined,float-cast-overflow"

# Errors that an attack makes before its trials, to check that the sanitizer reports them.
WRITE_BEYOND = "import ctypes; ctypes.memset(ctypes.create_string_buffer(4000), 0, 4001)"
FORGET = "[ctypes.CDLL(None).malloc(100) for _ in range(100)]; code = 0"
RUN_TESTS = "import pytest; code = pytest.main(sys.argv[1:])"

# Leaks are checked at the end of the tests; at the exit of Python, much of its own memory is unreachable.
CHECK_LEAKS = """
import ctypes, gc, os, sys
{}
gc.collect()
ctypes.CDLL(None).__lsan_do_recoverable_leak_check()
sys.stdout.flush()
os._exit(code)
"""


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def compiler_of(family: str, runtime: str) -> tuple[str, Path]:
    """The newest compiler of a family that has the runtime library, and the path of that library."""
    for name in (family, *(f"{family}-{version}" for version in range(30, 9, -1))):
        if shutil.which(name):
            path = Path(output(name, f"-print-file-name={runtime}"))
            if path.is_absolute():
                return name, path.resolve()
    raise Missing(f"{family} with {runtime}")


def build(folder: Path, compiler: str, sanitizers: str, calls: tuple[bytes, ...]) -> tuple[Path, Path]:
    """The package in a folder to import it from, and the C program, both built with these sanitizers, whose
    functions they call."""
    defines = {"BPKERN_SANITIZE": sanitizers, "BPKERN_ATTACKS": "ON"}
    settings = [f"-Ccmake.define.{name}={value}" for name, value in defines.items()]
    site = install(folder, environment(CC=compiler), settings)
    (core,) = site.glob("bpkern/_core*.so")
    for called in calls:
        assert called in core.read_bytes(), f"{core} was built without sanitizers"
    return site, folder / "build" / "attack_threads"


def build_for_addresses(folder: Path, compiler: str) -> tuple[Path, Path]:
    return build(folder, compiler, SANITIZERS, (b"__asan_report_load", b"__ubsan_handle"))


def build_for_races() -> tuple[str, Path, Path]:
    """The compiler, and what `build` returns."""
    compiler = compiler_of("gcc", "libtsan.so")[0]
    return compiler, *build(STATE / "races", compiler, "thread", (b"__tsan_read8",))


def build_program(folder: Path, compiler: str, sanitizers: str, target: str) -> Path:
    build, python = folder / "build", f"-DPython_EXECUTABLE={sys.executable}"
    options = ["-DBPKERN_ATTACKS=ON", f"-DBPKERN_SANITIZE={sanitizers}", python]
    env = environment(CC=compiler)
    make(["cmake", "-G", "Ninja", "-S", ROOT, "-B", build, *options], env)
    make(["cmake", "--build", build, "--target", target], env)
    return build / target


def reports_in(folder: Path) -> str:
    """The reports of the sanitizers of all processes since the last call."""
    files = sorted(folder.glob("report.*"))
    text = "\n".join(path.read_text(errors="replace") for path in files)
    for path in files:
        path.unlink()
    return text


def version(compiler: str) -> str:
    return output(compiler, "--version").partition("\n")[0]


def instrumented(folder: Path, compiler: str, preload: list[Path]) -> dict[str, str]:
    """Build the package with the address and undefined-behaviour sanitizers, and check that they report.

    Returns the environment of processes that use this build, and that write reports into the folder.
    """
    site, _ = build_for_addresses(folder, compiler)
    log = f"log_path={folder / 'report'}"
    env = environment(
        LD_PRELOAD=" ".join(map(str, preload)),
        PYTHONPATH=str(site),
        # Leaks have a separate attack. Some tests ask for more memory than the machine has.
        ASAN_OPTIONS=f"detect_leaks=0:allocator_may_return_null=1:{log}",
        UBSAN_OPTIONS=f"print_stacktrace=1:{log}",
    )
    reports_in(folder)
    subprocess.run([sys.executable, "-c", WRITE_BEYOND], env=env, capture_output=True)
    if "buffer-overflow" not in reports_in(folder):
        sys.exit("the address sanitizer did not report a write beyond the end")
    return env


def address(journal: Journal, folder: Path, compiler: str, preload: list[Path]) -> str:
    """Run each file of tests in a process with these runtime libraries."""
    env = instrumented(folder, compiler, preload)
    for trial in journal:
        failure = run_tests(journal, trial, ["-m", "pytest"], env)
        report = reports_in(folder)
        journal.count("reports", bool(report))
        if failure or report:
            journal.fail(trial, f"{FILES[trial]}: {failure}\n{report}")
    return f"{version(compiler)}: {tests_made(journal)}, reports in {journal.figures['reports']} files"


@attack(trials=len(FILES))
def address_gcc(journal):
    """The suite built by GCC with the address and undefined-behaviour sanitizers: no report."""
    compiler, runtime = compiler_of("gcc", "libasan.so")
    undefined = compiler_of("gcc", "libubsan.so")[1]
    return address(journal, STATE / "address_gcc", compiler, [runtime, undefined])


@attack(trials=len(FILES))
def address_clang(journal):
    """The suite built by Clang with the address and undefined-behaviour sanitizers: no report."""
    compiler, runtime = compiler_of("clang", f"libclang_rt.asan-{platform.machine()}.so")
    return address(journal, STATE / "address_clang", compiler, [runtime])


# The file and the name of an attack, and the number of its trials that are run at a time.
HOSTILE = (
    ("user_code", "hostile", 1000),
    ("user_code", "harmless", 500),
    ("nested_calls", "nested", 500),
    ("edited_estimators", "estimators", 200),
    ("shared_arrays", "flipped", 20),
)


@attack(trials=100)
def user_code(journal):
    """User code as the attacker, and arrays that change, with the sanitizers of GCC: no report."""
    compiler, runtime = compiler_of("gcc", "libasan.so")
    folder = STATE / "address_gcc"
    env = instrumented(folder, compiler, [runtime, compiler_of("gcc", "libubsan.so")[1]])
    for trial in journal:
        for script, name, size in HOSTILE:
            # Each of them continues its own journal by so many trials.
            count = f"--trials {(trial + 1) * size} --seed {journal.seed}{'' if trial else ' --anew'}"
            where = ["--state", str(folder / "user_code")]
            command = [f"tests/attacks/{script}.py", name, *count.split(), *where]
            made = subprocess.run(
                [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True
            )
            report = reports_in(folder)
            journal.count("reports", bool(report))
            if report or made.returncode not in (0, 1):  # 1: the attack itself has found something
                journal.fail(trial, f"{script}.py {name}:\n{made.stderr[-1000:]}\n{report[:3000]}")
    runs = len(HOSTILE) * journal.done
    return f"{version(compiler)}: {journal.figures['reports']} of {runs} runs with a report"


@attack(trials=len(FILES))
def leaks(journal):
    """The suite under the leak sanitizer: after each file, all memory of the extension is reachable."""
    folder = STATE / "leaks"
    folder.mkdir(parents=True, exist_ok=True)
    env = environment(
        LD_PRELOAD=str(compiler_of("gcc", "liblsan.so")[1]),
        PYTHONMALLOC="malloc",
        # The format names the module of each frame, which separates the extension's leaks from others.
        LSAN_OPTIONS=f"leak_check_at_exit=0:stack_trace_format='#%n %f %S %M':log_path={folder / 'report'}",
    )
    reports_in(folder)
    subprocess.run([sys.executable, "-c", CHECK_LEAKS.format(FORGET)], env=env, capture_output=True)
    if "leak of" not in reports_in(folder):
        sys.exit("the leak sanitizer, which has to trace its own process, did not report a leak")
    for trial in journal:
        failure = run_tests(journal, trial, ["-c", CHECK_LEAKS.format(RUN_TESTS)], env)
        found = [leak for leak in re.split(r"\n\s*\n", reports_in(folder)) if "leak of" in leak]
        ours = [leak for leak in found if "(_core." in leak]
        journal.count("ours", len(ours))
        journal.count("others", len(found) - len(ours))
        if failure or ours:
            journal.fail(trial, "\n".join([f"{FILES[trial]}: {failure}", *ours]))
    figures = journal.figures
    return f"{tests_made(journal)}; leaks: {figures['ours']}, and {figures['others']} of other packages"


def run_program(
    journal: Journal, compiler: str, program: Path, env: dict[str, str], mistake: str, message: str
) -> str:
    """Run the program in this environment, after checking that a deliberate mistake is reported."""
    made = subprocess.run([program, mistake], env=env, capture_output=True, text=True)
    if message not in made.stderr or not made.returncode:
        sys.exit(f"{made.stderr}\nthe sanitizer did not report {message}")
    for trial in journal:
        made = subprocess.run([program, str(trial), str(trial + 1)], env=env, capture_output=True, text=True)
        if made.returncode:
            journal.fail(trial, (made.stdout + made.stderr)[:3000])
    return f"{version(compiler)}: {4 * journal.done} networks in all, {journal.failed} trials with a report"


@attack(trials=60)
def library(journal):
    """Random networks in C, by teams and in several threads: nothing out of bounds, undefined or leaked."""
    compiler = compiler_of("gcc", "libasan.so")[0]
    _, program = build_for_addresses(STATE / "address_gcc", compiler)
    asan = "detect_leaks=1:detect_stack_use_after_return=1"
    env = environment(ASAN_OPTIONS=asan, UBSAN_OPTIONS="print_stacktrace=1")
    return run_program(journal, compiler, program, env, "leak", "detected memory leaks")


@attack(trials=20_000)
def fuzzed(journal):
    """Networks in C whose settings libFuzzer chooses: no report, and a team comes to the same bits."""
    machine = platform.machine()
    compiler_of("clang", f"libclang_rt.fuzzer-{machine}.a")
    compiler, runtime = compiler_of("clang", f"libclang_rt.asan-{machine}.so")
    folder = STATE / "fuzzed"
    program = build_program(folder, compiler, f"fuzzer-no-link,{SANITIZERS}", "attack_fuzzed")
    inputs = folder / "inputs"
    inputs.mkdir(exist_ok=True)
    env = environment(LD_PRELOAD=str(runtime), UBSAN_OPTIONS="print_stacktrace=1")
    made = subprocess.run(
        [program, "-runs=1"], env=env | {"BPK_MISTAKE": "1"}, capture_output=True, text=True
    )
    if "heap-buffer-overflow" not in made.stderr:
        sys.exit(f"{made.stderr}\nthe sanitizer did not report a write beyond the end")
    for chunk in journal.chunks(500):
        options = [f"-runs={len(chunk)}", f"-seed={1 + journal.seed + chunk.start}", "-max_len=200"]
        where = f"-artifact_prefix={folder}/"
        made = subprocess.run([program, inputs, *options, where], env=env, capture_output=True, text=True)
        for covered in re.findall(r"\bcov: (\d+)", made.stderr):
            journal.keep("covered", max, int(covered))
        if made.returncode:
            journal.fail(chunk.start, (made.stdout + made.stderr)[-3000:])
    return f"{version(compiler)}: {journal.figures.get('covered', 0)} places of the code reached"


@attack(trials=60)
def threads(journal):
    """Teams, networks trained at the same time and readers of one, in C: no data race, and the same bits."""
    compiler, _, program = build_for_races()
    return run_program(
        journal, compiler, program, environment(TSAN_OPTIONS="halt_on_error=1"), "race", "data race"
    )


@attack(trials=len(WITH_THREADS))
def races(journal):
    """The tests with several threads, without those that fork, under the thread sanitizer: no data race."""
    compiler, site, program = build_for_races()
    folder = STATE / "races"
    env = environment(
        LD_PRELOAD=str(compiler_of("gcc", "libtsan.so")[1]),
        PYTHONPATH=str(site),
        # Python and NumPy are not instrumented: what they do without the sanitizer's knowledge is no race.
        TSAN_OPTIONS=f"ignore_noninstrumented_modules=1:report_signal_unsafe=0:log_path={folder / 'report'}",
    )
    reports_in(folder)
    subprocess.run([program, "race"], env=env, capture_output=True)
    if "data race" not in reports_in(folder):
        sys.exit("the thread sanitizer did not report a data race")
    for trial in journal:
        # The sanitizer may end or block a child of a process with several threads, just ended ones included.
        failure = run_tests(journal, trial, ["-m", "pytest", "-k", "not fork"], env, WITH_THREADS)
        report = reports_in(folder)
        if failure or report:
            journal.fail(trial, f"{WITH_THREADS[trial]}: {failure}\n{report[:6000]}")
    return f"{version(compiler)}: {tests_made(journal)}"


if __name__ == "__main__":
    main(__file__)
