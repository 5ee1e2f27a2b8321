"""Training and prediction by bpkern and by other libraries for Python, side by side.

python bench/peers.py --output results.json                       the standard networks
python bench/peers.py --grid --output results.json                60 networks of all sizes
python bench/peers.py --random 50 --seed 7 --output results.json  50 others
python bench/peers.py --net 784-256-128-10 --batch 1 --loss cross_entropy --momentum 0.9    any other

A training step is timed in whole shuffled epochs, including the gather of mini-batches. Before that, each
trainer's weights are checked against float64 NumPy; a wrong trainer is reported and not timed. All run on the
same cores, take turns in every round, and are compared by medians. A cell that is already in the file is not
run again. With --isa avx2, all but ONNX Runtime use AVX2. On a machine that others load, --cpu-time compares
processor time, on one thread. `pip install ".[peers]"` installs the others; missing ones are left out and
reported.
"""

import argparse
import importlib
import importlib.metadata
import platform
import shlex
import sys
import time
from pathlib import Path

import one_net
from pinning import limit_isa, pin

# Module and class of each trainer, imported when it is used, and its tasks.
TRAINING, INFERENCE = ("train",), ("forward", "predict")
PEERS = {
    "bpkern": ("peers_bpkern", "BpkernPeer", TRAINING + INFERENCE),
    "NumPy": ("peers_numpy", "NumpyPeer", TRAINING + INFERENCE),
    "scikit-learn": ("peers_sklearn", "SklearnPeer", TRAINING + INFERENCE),
    "PyTorch": ("peers_torch", "TorchPeer", TRAINING + INFERENCE),
    "PyTorch compiled": ("peers_torch", "CompiledTorchPeer", TRAINING),
    "JAX": ("peers_jax", "JaxPeer", TRAINING + INFERENCE),
    "ONNX Runtime": ("peers_onnx", "OnnxPeer", INFERENCE),
}
PACKAGES = ("bpkern", "numpy", "scikit-learn", "torch", "jax", "jaxlib", "onnxruntime", "onnx")
# Factor of the check's learning rate: the weights hardly move, and the gradients do not become denormal.
TIMED_LR = 1e-3
PREDICTED_ROWS = 256
# Seconds for the previous trainer's threads to go to sleep, if it had several.
PAUSE = 0.05


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", action="store_true", help="measure 60 networks of all sizes")
    parser.add_argument("--random", type=int, metavar="N", help="measure N networks of random shapes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random shapes (0)")
    one_net.add_arguments(parser)
    parser.add_argument("--only", default="", help="only networks whose name contains this")
    parser.add_argument("--tasks", help="train,forward,predict (all; for --grid, --random and --net train)")
    parser.add_argument("--peers", help=f"of {','.join(PEERS)} (all but PyTorch compiled)")
    parser.add_argument(
        "--compiled", action="store_true", help="compiled PyTorch, too: half a minute per net"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--isa", help="the instruction set; default: the best")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, with --threads 1")
    parser.add_argument("--rounds", type=int, default=15, help="the most rounds (15), at least 3")
    parser.add_argument("--budget", type=float, default=3.0, help="seconds per trainer and cell (3)")
    parser.add_argument("--output", type=Path, help="file of results, old ones included")
    args = parser.parse_args()
    default = [name for name in PEERS if args.compiled or name != "PyTorch compiled"]
    args.peers = args.peers.split(",") if args.peers else default
    if not set(args.peers) <= set(PEERS):
        parser.error(f"--peers are of {','.join(PEERS)}")
    if args.cpu_time and args.threads > 1:
        parser.error("--cpu-time would add up the threads' time; use --threads 1")
    return args


def chosen_nets(args: argparse.Namespace) -> list[tuple]:
    """Pairs (kind, network); the kind is "standard", "grid", "random" or "other"."""
    from nets import STANDARD, grid, random_nets

    chosen = [("grid", net) for net in grid()] if args.grid else []
    if args.random:
        print(f"random shapes of seed {args.seed}")
        chosen += [("random", net) for net in random_nets(args.random, args.seed)]
    if net := one_net.net_of(args):
        chosen.append(("other", net))
    chosen = chosen or [("standard", net) for net in STANDARD]
    return [(kind, net) for kind, net in chosen if args.only in net.name]


def prepared(name: str, net, task: str, check, data: tuple, threads: int) -> tuple:
    """(run, repeats) of a trainer that passed the check; raises LeftOutError or WrongError."""
    from peers_base import LeftOutError
    from timing import repeats_for

    module, kind, _ = PEERS[name]
    try:
        make = getattr(importlib.import_module(module), kind)
    except ImportError as error:
        raise LeftOutError(f"is not installed: {error}") from error
    tried = make(net, check.weights, check.X, check.y, check.lr, threads)
    if task == "train":
        check.training(tried)
        run = make(net, check.weights, *data, TIMED_LR * check.lr, threads).epochs
    else:
        check.inference(tried)
        call, rows = getattr(tried, task), check.inputs[: 1 if task == "forward" else PREDICTED_ROWS]

        def run(count):
            for _ in range(count):
                call(rows)

    return run, repeats_for(run)


def run_cell(net, task: str, peers: list[str], args: argparse.Namespace) -> dict[str, dict]:
    """Each trainer's times, or the reason why it has none."""
    from check import Check, WrongError
    from nets import data
    from peers_base import LeftOutError
    from timing import in_turns

    check, runs, found = Check(net), {}, {}
    batches = data(net, net.steps) if task == "train" else ()
    for name in peers:
        try:
            runs[name] = prepared(name, net, task, check, batches, args.threads)
        except LeftOutError as reason:
            found[name] = {"left out": str(reason)}
        except WrongError as reason:
            found[name] = {"wrong": str(reason)}
        except Exception as error:  # a failing trainer does not stop the others
            found[name] = {"failed": f"{type(error).__name__}: {error}"}
    once = net.steps if task == "train" else 1
    pause = PAUSE if args.threads > 1 else 0.0
    clock = time.process_time if args.cpu_time else time.perf_counter
    for name, samples in in_turns(runs, args.rounds, args.budget, pause, clock).items():
        quartiles = [value / once for value in samples.quartiles()]
        found[name] = {
            "seconds": quartiles,
            "rounds": len(samples.seconds),
            "repeats": samples.repeats * once,
        }
    return {name: found[name] for name in peers}


def printed(cell: dict, peers: list[str]) -> str:
    """A row of the table, and below it the reasons for missing times."""
    from results import median, ratio
    from timing import microseconds

    times = [f"{microseconds(t):>12}" if (t := median(cell, name)) else f"{'-':>12}" for name in peers]
    best = f"{r:.2f}" if (r := ratio(cell)) else "-"
    row = f"{cell['name']:54} {' '.join(times)} {best:>9}"
    for name in peers:
        for what in ("left out", "wrong", "failed"):
            if reason := cell["peers"].get(name, {}).get(what):
                row += f"\n  {what}: {name}: {reason}"
    return row


def versions() -> dict[str, str]:
    """The versions of Python and of every installed package of a trainer."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    args = parse()
    limit_isa(args.isa)
    pin(args.threads)

    from limit import step_limit
    from machine import described, measured
    from results import TASKS, Results, key_of, summary
    from threadpoolctl import threadpool_limits

    import bpkern

    results = Results(args.output)
    machine = measured(bpkern.isa(), args.threads)
    command = shlex.join(["python", f"bench/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    results.begin(command, machine, versions() | {"bpkern": bpkern.__version__})
    print(described(machine))
    print(", ".join(f"{name} {number}" for name, number in results.content["runs"][-1]["versions"].items()))
    nets = chosen_nets(args)
    tasks = "train" if args.grid or args.random or args.net else ",".join(TASKS)
    for task in (args.tasks or tasks).split(","):
        peers, done = [name for name in args.peers if task in PEERS[name][2]], []
        print(f"\n{TASKS[task]:54} {' '.join(f'{name[:12]:>12}' for name in peers)} best/ours")
        for kind, net in nets:
            key = key_of(net, task, args.threads)
            if not results.has(key):
                limit = step_limit(net, machine)[0] if task == "train" else None
                with threadpool_limits(args.threads):
                    results.add(net, task, kind, limit, run_cell(net, task, peers, args))
            cell = next(cell for cell in results.cells if cell["key"] == key)
            done.append(cell)
            print(printed(cell, peers), flush=True)
        print("\n" + "\n".join(summary(done)))


if __name__ == "__main__":
    main()
