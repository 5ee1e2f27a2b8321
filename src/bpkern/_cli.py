"""The command line: `bpkern` and `python -m bpkern`."""

import argparse
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of the arguments, by default those of the process; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bpkern", description="Train multilayer perceptrons on CPUs.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument(
        "--verbose", action="store_true", help="with --version: all that a report of a bug needs"
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser(
        "demo",
        help="train on handwritten digits, and once more with NumPy",
        description="Train a small network on 1797 handwritten digits, test it, and train it once more with "
        "the NumPy reference to compare. Needs the extra `demo`. BPKERN_ISA chooses the instruction set.",
    )
    demo.add_argument("--seed", type=_whole("seed", 0), default=0, help="of split, weights and shuffles (0)")
    demo.add_argument("--epochs", type=_whole("epochs", 1), default=60, help="passes over the data (60)")
    options = parser.parse_args(arguments)
    if options.version:
        if options.verbose:
            show_config()
        else:
            print(f"bpkern {__version__}")
        return 0
    if options.command is None:
        parser.error("the following arguments are required: command")

    from ._demo import run

    try:
        return run(seed=options.seed, epochs=options.epochs)
    except KeyboardInterrupt:
        return 130  # a shell's status of a command that Ctrl-C ended
