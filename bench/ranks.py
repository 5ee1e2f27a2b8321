"""Training on two ranks, measured, and a model of up to 1024 from these figures: where scaling ends.

python bench/ranks.py [--torch] [--output ranks.json] [--plot docs/ranks.svg]
python bench/ranks.py --figures ranks.json --plot docs/ranks.svg

Starts `ranks_measure.py` as two ranks of this machine, by mpi4py and an `mpiexec`, as of `pip install mpi4py
mpich`. It times the transport, steps at one and two ranks and threads, with `--torch` also PyTorch's
DistributedDataParallel over gloo, and one rank's steps by the rows of a mini-batch. `ranks_model.py` says how
the model works. With `--figures`, nothing is measured.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from ranks_model import COMPARED, NETWORKS, SCALED, Figures, Transport, Way, end_of_scaling, speeds, step

MEASURE = Path(__file__).with_name("ranks_measure.py")
# The lines of the plot: (factor of the net's batch, mini-batches per update).
FACTORS = ((1, 1), (1, 8), (8, 1), (64, 1))
COLOURS = ("#000000", "#d55e00", "#0072b2", "#009e73")


def mpiexec() -> str:
    """The command beside this Python or on the path."""
    search = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    return shutil.which("mpiexec", path=search) or sys.exit("there is no mpiexec: pip install mpich")


def measured(rounds: int, with_torch: bool) -> dict:
    """What `ranks_measure.py` prints. Each rank's libraries start no threads but those of their arguments."""
    command = [mpiexec(), "-n", "2", sys.executable, str(MEASURE), "--rounds", str(rounds)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *(["--torch"] * with_torch)], env=environment, stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def compared_table(seconds: dict[str, list[float]]) -> str:
    """Milliseconds per step, and how many times faster than one rank each candidate is in a round."""
    lines = [f"{COMPARED.name}, ms per step", ""]
    for name, values in seconds.items():
        pairs = zip(seconds["1 rank"], values, strict=True)
        low, middle, high = statistics.quantiles((base / value for base, value in pairs), n=4)
        shown = f"{statistics.median(values) * 1e3:9.2f}{middle:9.2f}   {low:.2f}-{high:.2f}"
        lines.append(f"{name:28}{shown}")
    for name in ("PyTorch DDP, 2 ranks", "1 rank, 2 threads"):
        if name in seconds:
            pairs = zip(seconds[name], seconds["2 ranks"], strict=True)
            by = statistics.median(other / own for other, own in pairs)
            lines.append(f"2 ranks take {1 / by:.3f} of the time of {name}: {by:.2f} times as fast")
    return "\n".join(lines)


def transport_table(found: dict) -> str:
    """MPI's allreduce over sizes, and what a message costs."""
    lines = ["bytes of an allreduce between 2 ranks, and microseconds", ""]
    lines += [f"{int(size):>12}{seconds * 1e6:12.1f}" for size, seconds in found["allreduce"].items()]
    lines.append(
        f"a message: {found['latency'] * 1e6:.2f} us one way, {found['message'] * 1e6:.2f} us of processor "
        f"time, {found['bandwidth'] / 1e9:.1f} GB/s"
    )
    return "\n".join(lines)


def figures_of(found: dict) -> list[Figures]:
    """The nets of the model, as measured."""
    return [
        Figures(
            net,
            dict(sorted((int(rows), seconds) for rows, seconds in each["seconds"].items())),
            each["spread"],
        )
        for net, each in zip(SCALED, found["scaled"], strict=True)
    ]


def ways(figures: Figures) -> list[Way]:
    """The lines of a net."""
    return [Way(figures.net.batch * factor, accumulate) for factor, accumulate in FACTORS]


def scaling_table(all_figures: list[Figures], transports: list[Transport]) -> str:
    """Where scaling ends: the fastest number of ranks, and the largest that keeps half of them busy."""
    lines = [f"{'':34}{'fastest at':>12}{'by':>8}{'half busy':>12}"]
    for figures in all_figures:
        lines += ["", figures.net.name]
        for transport in transports:
            for way in ways(figures):
                found = speeds(figures, transport, way)
                fastest, half = end_of_scaling(found)
                lines.append(
                    f"  {transport.name:22}{way.name:>20}{fastest:>6}{found[fastest]:8.1f}{half:>12}"
                )
    return "\n".join(lines)


def plot(all_figures: list[Figures], transports: list[Transport], path: Path) -> None:
    """A panel per net and transport: rows per second over ranks, relative to one rank."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.hashsalt": "ranks", "font.size": 9})
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(3.3 * len(all_figures), 3.2 * len(transports)), layout="constrained")
    grid = figure.subplots(len(transports), len(all_figures), squeeze=False, sharex=True, sharey=True)
    for row, transport in zip(grid, transports, strict=True):
        for axes, figures in zip(row, all_figures, strict=True):
            _panel(axes, figures, transport)
        row[0].set_ylabel(f"{transport.name}\nrows per second / of 1 rank")
    for axes, figures in zip(grid[0], all_figures, strict=True):
        axes.set_title("-".join(map(str, figures.net.layers)), loc="left", weight="bold", fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("ranks of one thread")
    figure.suptitle("A model of training on many ranks: where scaling ends", weight="bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _panel(axes, figures: Figures, transport: Transport) -> None:
    """The ways to train one net over one transport; a dot where each is fastest."""
    ideal = [1, 1024]
    axes.plot(ideal, ideal, color="#bbbbbb", linewidth=1, zorder=1)
    for way, colour in zip(ways(figures), COLOURS, strict=True):
        found = speeds(figures, transport, way)
        axes.plot(list(found), list(found.values()), color=colour, linewidth=1.6, label=way.name, zorder=2)
        fastest, _ = end_of_scaling(found)
        axes.plot(fastest, found[fastest], "o", color=colour, markersize=5, zorder=3)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlim(1, 1024)
    axes.set_ylim(0.25, 1024)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xticks([1, 4, 16, 64, 256, 1024])
    axes.set_yticks([0.25, 1, 4, 16, 64, 256, 1024])
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(title="rows of a batch", loc="upper left", frameon=False, fontsize=7, title_fontsize=7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", action="store_true", help="also PyTorch's DistributedDataParallel")
    parser.add_argument("--rounds", type=int, default=5, help="rounds to take medians of (5)")
    parser.add_argument("--figures", type=Path, help="figures of an earlier run, instead of measuring")
    parser.add_argument("--output", type=Path, help="file for the figures")
    parser.add_argument("--plot", type=Path, help="file for the plot")
    args = parser.parse_args()
    found = json.loads(args.figures.read_text()) if args.figures else measured(args.rounds, args.torch)
    if args.output:
        args.output.write_text(json.dumps(found, indent=1))
    here = Transport("this machine", found["latency"], found["message"], found["bandwidth"])
    all_figures = figures_of(found)
    print(transport_table(found), compared_table(found["compared"]), sep="\n\n")
    net = next(figures for figures in all_figures if figures.net == COMPARED)
    print(f"the model, by messages: {step(net, here, 2, COMPARED.batch) * 1e3:.2f} ms on 2 ranks\n")
    print(scaling_table(all_figures, [here, *NETWORKS]))
    if args.plot:
        plot(all_figures, list(NETWORKS), args.plot)


if __name__ == "__main__":
    main()
