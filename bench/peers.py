"""Training and prediction by bpkern and by everything else that does it from Python, side by side.

python bench/peers.py --output results.json                       the standard networks
python bench/peers.py --grid --output results.json                60 networks of all sizes
python bench/peers.py --random 50 --seed 7 --output results.json  50 others

A step of training is timed in whole shuffled epochs, the gather of mini-batches included. Before that, each
trainer's weights are checked against float64 NumPy: one that is wrong is reported and not timed. All are on
the same cores, take turns in every round, and are compared by medians. A cell that is in the file is not run
again. `pip install ".[peers]"` brings the others; one that is missing is left out, and said so.
"""

import argparse
import importlib
import importlib.metadata
import platform
import shlex
import sys
from pathlib import Path

from pinning import pin

# Module and class of each trainer, loaded when it is asked for, and the tasks it is there for.
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
# Of the learning rate of the check: weights stay where they are, and gradients do not vanish to denormals.
TIMED_LR = 1e-3
PREDICTED_ROWS = 256
# For the threads of the trainer before to go to sleep, where there are several.
PAUSE = 0.05


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", action="store_true", help="60 networks of all sizes")
    parser.add_argument("--random", type=int, metavar="N", help="N networks of random shapes")
    parser.add_argument("--seed", type=int, default=0, help="of the random shapes (0)")
    parser.add_argument("--only", default="", help="networks whose name has this in it")
    parser.add_argument("--tasks", help="train,forward,predict (all; for --grid and --random train)")
    parser.add_argument("--peers", help=f"of {','.join(PEERS)} (all but PyTorch compiled)")
    parser.add_argument("--compiled", action="store_true", help="PyTorch compiled, too: half a minute a net")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15, help="at most (15), and at least 3")
    parser.add_argument("--budget", type=float, default=3.0, help="seconds of timing a trainer and cell (3)")
    parser.add_argument("--output", type=Path, help="the file to keep results in, and to go on from")
    args = parser.parse_args()
    default = [name for name in PEERS if args.compiled or name != "PyTorch compiled"]
    args.peers = args.peers.split(",") if args.peers else default
    if not set(args.peers) <= set(PEERS):
        parser.error(f"--peers are of {','.join(PEERS)}")
    return args


def chosen_nets(args: argparse.Namespace) -> list[tuple]:
    """Pairs of a kind, "standard", "grid" or "random", and a network."""
    from nets import STANDARD, grid, random_nets

    chosen = [("grid", net) for net in grid()] if args.grid else []
    if args.random:
        print(f"random shapes of seed {args.seed}")
        chosen += [("random", net) for net in random_nets(args.random, args.seed)]
    chosen = chosen or [("standard", net) for net in STANDARD]
    return [(kind, net) for kind, net in chosen if args.only in net.name]


def prepared(name: str, net, task: str, check, data: tuple, threads: int) -> tuple:
    """The run of a trainer that passed the check, and how often to repeat it; LeftOutError and WrongError."""
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
    """What every trainer takes, or why it does not."""
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
        except Exception as error:  # one that breaks does not stop the others
            found[name] = {"failed": f"{type(error).__name__}: {error}"}
    once = net.steps if task == "train" else 1
    pause = PAUSE if args.threads > 1 else 0.0
    for name, samples in in_turns(runs, args.rounds, args.budget, pause).items():
        quartiles = [value / once for value in samples.quartiles()]
        found[name] = {
            "seconds": quartiles,
            "rounds": len(samples.seconds),
            "repeats": samples.repeats * once,
        }
    return {name: found[name] for name in peers}


def printed(cell: dict, peers: list[str]) -> str:
    """A row of the table, and below it why a trainer has no time."""
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
    """Of Python and of every package that is there."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    args = parse()
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
    tasks = "train" if args.grid or args.random else ",".join(TASKS)
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
