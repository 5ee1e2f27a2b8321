"""The results of `peers.py` as tables, a plot and the README's section.

python bench/report.py results.json [more.json ...] [--docs docs] [--readme README.md]

Writes peers.png and peers.svg to the folder, and the tables between the README's lines
`<!-- peers: begin -->` and `<!-- peers: end -->`. The tables list all lost cells.
"""

import argparse
from pathlib import Path
from textwrap import fill

from nets import Net
from results import OWN, TASKS, Results, best_peer, geometric_mean, losers, median, names, ratio
from timing import microseconds

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
LOST = "(lost)"
# Distinguishable by the colour-blind, and the same in every plot.
COLOURS = {
    "bpkern": "#000000",
    "NumPy": "#0072b2",
    "scikit-learn": "#e69f00",
    "PyTorch": "#d55e00",
    "PyTorch compiled": "#cc79a7",
    "JAX": "#009e73",
    "ONNX Runtime": "#56b4e9",
}
ACROSS = 2  # panels of the plot
MARKERS = {
    "NumPy": "s",
    "scikit-learn": "^",
    "PyTorch": "D",
    "PyTorch compiled": "v",
    "JAX": "P",
    "ONNX Runtime": "X",
}


def standard_table(cells: list[dict]) -> list[str]:
    """Markdown: a row per network, a column per trainer; medians in microseconds, the fastest in bold."""
    peers = names(cells)
    rows = [f"| {TASKS[cells[0]['task']]} | {' | '.join(peers)} | best other / {OWN} |"]
    rows.append(f"| --- |{' ---: |' * (len(peers) + 1)}")
    for cell in cells:
        times = {name: median(cell, name) for name in peers}
        fastest = min(filter(None, times.values()), default=None)
        texts = [
            "" if not time else f"**{microseconds(time)}**" if time == fastest else microseconds(time)
            for time in times.values()
        ]
        by = ratio(cell)
        last = f"{by:.2f}{f' {LOST}' if by < 1 else ''}" if by else ""
        rows.append(f"| {cell['name']} | {' | '.join(texts)} | {last} |")
    return rows


def many_table(cells: list[dict]) -> list[str]:
    """Markdown: each trainer's times compared over many networks; then the lost cells."""
    rows = [
        f"| training step, {len(cells)} networks | time / {OWN}'s (geometric mean) | range |"
        f" {OWN} is faster in |"
    ]
    rows.append("| --- | ---: | ---: | ---: |")
    for name in [*names(cells)[1:], None]:
        ratios = [r for cell in cells if (r := ratio(cell, name))]
        if ratios:
            won = sum(r >= 1 for r in ratios)
            rows.append(
                f"| {name or 'the best other, per network'} | {geometric_mean(ratios):.2f} |"
                f" {min(ratios):.2f} to {max(ratios):.3g} | {won} of {len(ratios)} |"
            )
    lost = losers(cells)
    if lost:
        rows += ["", f"Networks that {OWN} loses, with the best time relative to {OWN}'s:", ""]
    for cell in lost:
        by = ratio(cell)
        rows.append(f"- {cell['name']}: {f'{by:.3f}, {best_peer(cell)}' if by else 'no time'}")
    return rows


def without_time(cells: list[dict]) -> list[str]:
    """The reasons for missing times, each once with its number of cells."""
    counted = {}
    for cell in cells:
        for name, found in cell["peers"].items():
            for what in ("left out", "wrong", "failed"):
                if what in found:
                    reason = name, f"{what}: {found[what]}"
                    counted[reason] = counted.get(reason, 0) + 1
    listed = "; ".join(f"{name}, {count} cells ({why})" for (name, why), count in counted.items())
    return [f"Without a time: {listed}."] if counted else []


def caption(run: dict, threads: int) -> str:
    """The machine and the versions."""
    machine = run["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['isa']}, float32,"
        f" {threads} thread{'s' if threads > 1 else ''} each; {packages}"
    )


def grouped(results: list[Results]) -> dict[tuple, list[tuple[dict, dict]]]:
    """Pairs (cell, run) by (threads, kind, task), small nets first; of cells with the same key, the last."""
    latest = {cell["key"]: (cell, r.content["runs"][cell["run"]]) for r in results for cell in r.cells}
    groups = {}
    for cell, run in sorted(latest.values(), key=lambda pair: Net(**pair[0]["net"]).flops):
        kind = "standard" if cell["kind"] == "standard" else "many"
        groups.setdefault((cell["threads"], kind, cell["task"]), []).append((cell, run))
    order = list(TASKS)
    return dict(
        sorted(
            groups.items(), key=lambda group: (group[0][0], group[0][1] == "many", order.index(group[0][2]))
        )
    )


def markdown(groups: dict[tuple, list[tuple[dict, dict]]]) -> str:
    """All tables, each followed by its missing times; above the tables of each thread count, the machine."""
    parts, said = [], None
    for (threads, kind, _), pairs in groups.items():
        cells = [cell for cell, _ in pairs]
        if said != threads:
            parts.append(f"{caption(pairs[-1][1], threads)}. Medians; the fastest is bold.")
            said = threads
        lines = standard_table(cells) if kind == "standard" else many_table(cells)
        parts += ["\n".join(lines), *without_time(cells)]
    return "\n\n".join(parts)


def _time(seconds: float) -> str:
    """The time with three digits and a unit."""
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def plot(pairs: list[tuple[dict, dict]], folder: Path) -> None:
    """A panel per network: each trainer's time divided by bpkern's, the fastest first; logarithmic axes."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.hashsalt": "peers", "font.size": 9})
    from matplotlib import pyplot

    cells = [cell for cell, _ in pairs if median(cell, OWN)]
    threads = cells[0]["threads"]
    others = max(len(_ratios(cell)) for cell in cells)
    rows = -(-len(cells) // ACROSS)
    size = (4.6 * ACROSS, (0.9 + 0.24 * others) * rows + 0.9)
    figure = pyplot.figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, ACROSS, squeeze=False).flat)
    for cell, each in zip(cells, axes, strict=False):
        _panel(each, cell)
    for empty in axes[len(cells) :]:
        empty.remove()
    on = f"{threads} thread{'s' if threads > 1 else ''}"
    figure.suptitle(f"A training step on {on}: time divided by {OWN}'s, logarithmic", weight="bold")
    figure.get_layout_engine().set(hspace=0.08)
    figure.supxlabel(fill(caption(pairs[-1][1], threads), 130), fontsize=7, color="#555555")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "peers.png", dpi=160)
    figure.savefig(folder / "peers.svg", metadata={"Date": None})
    pyplot.close(figure)


def _ratios(cell: dict) -> list[tuple[float, str]]:
    """The ratios of the other trainers with their names, the fastest first."""
    return sorted((r, name) for name in names([cell])[1:] if (r := ratio(cell, name)))


def _panel(axes, cell: dict) -> None:
    """The trainers of one network."""
    from matplotlib.ticker import LogLocator, NullFormatter

    found = _ratios(cell)
    axes.axvline(1, color=COLOURS[OWN], linewidth=2, zorder=1)
    for lane, (by, name) in enumerate(found):
        axes.hlines(lane, 1, by, color=COLOURS[name], linewidth=2, zorder=2)
        axes.plot(by, lane, MARKERS[name], color=COLOURS[name], markersize=6, zorder=3)
        side, align = (8, "left") if by >= 1 else (-8, "right")
        text = f"{by:.2f}" if by < 10 else f"{by:.0f}"
        axes.annotate(text, (by, lane), (side, 0), textcoords="offset points", ha=align, va="center")
    axes.set_xscale("log")
    # Room for the numbers; and small differences look small.
    least, most = min(by for by, _ in found), max(by for by, _ in found)
    axes.set_xlim(0.7 * least if least < 1 else 0.9, max(3, most**1.25))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 50 else (1,)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(found)), [name for _, name in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    sizes, _, training = cell["name"].partition(" ")
    axes.set_title(sizes, loc="left", weight="bold", fontsize=10, pad=16)
    axes.text(0, 1.03, f"{training}; {OWN}: {_time(median(cell, OWN))}", transform=axes.transAxes, fontsize=8)


def paste(readme: Path, text: str) -> None:
    """Put the text between the README's two marker lines."""
    content = readme.read_text()
    if content.count(BEGIN) != 1 or content.count(END) != 1:
        raise SystemExit(f"{readme} must have one line {BEGIN} and one line {END}")
    head, rest = content.split(BEGIN)
    _, tail = rest.split(END)
    readme.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+", help="result files of peers.py")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder for the plots (docs)")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="file for the tables")
    args = parser.parse_args()
    missing = [path for path in args.results if not path.exists()]
    if missing:
        raise SystemExit(f"no such file: {', '.join(map(str, missing))}")
    groups = grouped([Results(path) for path in args.results])
    text = markdown(groups)
    print(text)
    plotted = next(
        (pairs for (_, kind, task), pairs in groups.items() if (kind, task) == ("standard", "train")), None
    )
    if plotted:
        plot(plotted, args.docs)
    paste(args.readme, text)


if __name__ == "__main__":
    main()
