"""The command line: `bpkern` and `python -m bpkern`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from . import __version__, _checks, show_config


def _whole(name: str, at_least: int) -> Callable[[str], int]:
    """A `type` for argparse: converts an argument to a whole number of at least `at_least`.

    The converter raises argparse.ArgumentTypeError for any other text; the message begins with `name`.
    """

    def parse(text: str) -> int:
        try:
            return _checks.whole(name, int(text), at_least)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def _numbers(name: str) -> Callable[[str], list[list[float]]]:
    """A `type` for argparse: converts "1,2;3,4" to rows of numbers, all of the same length."""

    def parse(text: str) -> list[list[float]]:
        try:
            rows = [[float(number) for number in row.split(",")] for row in text.split(";")]
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{name} must be numbers like 1,2;3,4: {error}") from None
        if len({len(row) for row in rows}) > 1:
            raise argparse.ArgumentTypeError(f"{name} must have rows of the same length, not {text!r}")
        return rows

    return parse


def _sizes(text: str) -> list[int]:
    """A `type` for argparse: converts "2,3,1" or "2-3-1" to sizes of layers."""
    parse = _whole("a layer's size", 1)
    return [parse(size) for size in text.replace("-", ",").split(",")]


def _row(text: str) -> int | str:
    """A `type` for argparse: "mean", or the number of a row."""
    return text if text == "mean" else _whole("row", 0)(text)


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    demo = commands.add_parser(
        "demo",
        help="train on handwritten digits, and once more with NumPy",
        description="Train a small network on 1797 handwritten digits, test it, and train it once more with "
        "the NumPy reference to compare. Needs the extra `demo`. BPKERN_ISA chooses the instruction set.",
    )
    demo.add_argument("--seed", type=_whole("seed", 0), default=0, help="of split, weights and shuffles (0)")
    demo.add_argument("--epochs", type=_whole("epochs", 1), default=60, help="passes over the data (60)")


def _add_trace(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    trace = commands.add_parser(
        "trace",
        help="print every number of a training step",
        description="Print every number of a training step, forward, backward and update: of the 2-2-2 "
        "network of many textbooks, of a new network with random weights, or of a model in a file.",
    )
    trace.add_argument("--layers", type=_sizes, metavar="2,3,1", help="a new network of these sizes")
    trace.add_argument(
        "--activation",
        default=None,
        help="of all layers of a new network (sigmoid); the output "
        "layer has none if the loss contains a softmax, sigmoid or exponential",
    )
    trace.add_argument("--loss", default=None, help="of a new network (squared_error)")
    trace.add_argument(
        "--x", type=_numbers("x"), metavar="1,2;3,4", help="inputs; --x=-1,2 if the first is negative"
    )
    trace.add_argument(
        "--y", type=_numbers("y"), metavar="0,1;1,0", help="targets; one class per row for cross_entropy"
    )
    trace.add_argument("--lr", type=float, default=None, help="the learning rate (0.5; of a model, its own)")
    trace.add_argument("--steps", type=_whole("steps", 1), default=1, help="updates on the same rows (1)")
    trace.add_argument(
        "--seed", type=_whole("seed", 0), default=0, help="of weights, x and y that are not given"
    )
    trace.add_argument("--model", metavar="net.npz", help="a file of MLP.save; needs --data, or --x and --y")
    trace.add_argument("--data", metavar="rows.csv", help="rows of inputs and then targets, without a header")
    trace.add_argument("--explain", metavar="NAME", help='also explain a number, as "layers[1].W[0, 0]"')
    trace.add_argument("--save", metavar="FILE", help="also write to a .html, .svg, .json or .txt file")
    trace.add_argument(
        "--open",
        action="store_true",
        help="also show the page in the web browser: that of --save if it is .html, else a temporary file",
    )
    trace.add_argument(
        "--row", type=_row, default=0, help='that drawings show, or "mean" for means over all rows (0)'
    )


def _add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = commands.add_parser(
        "export",
        help="write a model as C, ONNX or plain safetensors",
        description="Write a model for other programs, in one or several forms: a network of MLP.save, or a "
        "model of `bpkern fit` with its encoder.",
    )
    export.add_argument("model", metavar="net.npz", help="a file of MLP.save, TableModel.save or `fit`")
    export.add_argument("--c", metavar="net.c", help="one C99 file, which needs math.h alone")
    export.add_argument("--onnx", metavar="net.onnx", help="an ONNX model; needs the extra `onnx`")
    export.add_argument(
        "--safetensors",
        metavar="FILE",
        help="the network's weights, without an encoder, by the names of a torch.nn.Sequential",
    )
    export.add_argument("--name", default="net", help="of --c: the prefix of all names (net)")
    export.add_argument(
        "--weights", default="float32", help="of --c: float32, or int8 with a scale for each row (float32)"
    )
    export.add_argument(
        "--data", metavar="rows.csv", help="of --c: rows for the self-test and the error of int8"
    )


def _seconds(text: str) -> float:
    """A `type` for argparse: a number of seconds above 0."""
    try:
        return _checks.positive("time", float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_tables(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    fit = commands.add_parser(
        "fit",
        help="train a network on a table, such as a CSV file",
        description="Train a network that predicts a column of a table from the others: CSV, or Parquet and "
        "Feather where pyarrow or polars is installed. Types of columns are detected and shown. A fifth of "
        "the rows, or another file, measures the network beside a trivial prediction.",
    )
    fit.add_argument("data", metavar="data.csv", help="the table; its first row has the names of the columns")
    fit.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    fit.add_argument("-o", "--output", required=True, metavar="model.npz", help="the file of the model")
    fit.add_argument(
        "--task",
        choices=("auto", "classification", "regression"),
        default="auto",
        help="classes if the target has texts, two numbers, or at most 10 whole numbers; else values (auto)",
    )
    fit.add_argument(
        "--time", type=_seconds, default=60.0, help="approximate limit of training, in seconds (60)"
    )
    fit.add_argument(
        "--recipe",
        choices=("td-s", "td"),
        default="td-s",
        help="settings of RealMLP: td takes up to twice the time (td-s)",
    )
    fit.add_argument("--validation", metavar="other.csv", help="rows that measure the network")
    fit.add_argument("--compare", action="store_true", help="measure scikit-learn's gradient boosting, too")
    fit.add_argument("--report", metavar="report.html", help="also write metrics and plots as a page")
    fit.add_argument("--drop", action="append", default=[], metavar="COLUMN", help="leave a column out")
    fit.add_argument(
        "--categorical", action="append", default=[], metavar="COLUMN", help="its numbers are categories"
    )
    fit.add_argument(
        "--seed",
        type=_whole("seed", 0),
        default=0,
        help="seed of the division, the weights and the shuffles (0)",
    )
    predict = commands.add_parser(
        "predict",
        help="predict the rows of a table with a model of `bpkern fit`",
        description="Write predictions as CSV: a column, and for classes their probabilities.",
    )
    evaluate = commands.add_parser(
        "evaluate",
        help="measure a model of `bpkern fit` on a table",
        description="Measure a model on rows whose target is known, beside a trivial prediction.",
    )
    show = commands.add_parser(
        "show",
        help="describe a model of `bpkern fit`",
        description="Print the columns that a model reads, what it predicts, and its layers.",
    )
    for command in (predict, evaluate, show):
        command.add_argument("model", metavar="model.npz", help="a file of `bpkern fit` or TableModel.save")
    for command in (predict, evaluate):
        command.add_argument("data", metavar="new.csv", help="a table with the columns of the model")
    predict.add_argument(
        "-o", "--output", metavar="out.csv", help="the file of predictions (standard output)"
    )
    for command in (fit, predict, evaluate):
        csv = command.add_argument_group("CSV files", "Options that are not given are detected.")
        csv.add_argument("--encoding", help="such as cp1252 or latin-1 (utf-8, or by its mark)")
        csv.add_argument("--delimiter", "--sep", help="between fields: , ; | or tab")
        csv.add_argument("--decimal", choices=(".", ","), help="the decimal sign")
        csv.add_argument(
            "--missing",
            action="append",
            default=[],
            metavar="TEXT",
            help="also means a gap, as NA and ? do",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of the arguments, by default those of the process; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bpkern", description="Train multilayer perceptrons on CPUs.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument(
        "--verbose", action="store_true", help="with --version: all that a report of a bug needs"
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    _add_demo(commands)
    _add_trace(commands)
    _add_export(commands)
    _add_tables(commands)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # with the usage of the command, which parse_args does not show
        commands.choices.get(options.command, parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.version:
        if options.verbose:
            show_config()
        else:
            print(f"bpkern {__version__}")
        return 0
    if options.command is None:
        parser.error("the following arguments are required: command")
    try:
        if options.command == "demo":
            from ._demo import run

            status = run(seed=options.seed, epochs=options.epochs)
        elif options.command == "export":
            from ._export.command import run_export

            status = run_export(options)
        elif options.command in ("fit", "predict", "evaluate", "show"):
            from ._table.command import run as run_table

            status = run_table(options)
        else:
            from ._seeing.trace_command import run_trace

            status = run_trace(options)
        print(end="", flush=True)  # here, and not when Python exits, a reader that has ended is no error
        return status
    except KeyboardInterrupt:
        return 130  # a shell's status of a command that Ctrl-C ended
    except BrokenPipeError:
        # The reader, such as `head`, has ended. What is still buffered goes nowhere when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # a shell's status of a command that SIGPIPE ended
