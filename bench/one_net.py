"""Arguments of the command line that describe one network."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the network's arguments; without --net there is none."""
    parser.add_argument("--net", help="layer sizes, as in 784-256-128-10; default: the standard networks")
    parser.add_argument("--batch", type=int, help="rows of a mini-batch of --net (64)")
    parser.add_argument("--momentum", type=float, default=0.0, help="of --net (0)")
    parser.add_argument("--adam", action="store_true", help="Adam instead of SGD")
    parser.add_argument("--dropout", type=float, default=0.0, help="rate in the hidden layers (0)")
    parser.add_argument("--activation", default="relu", choices=["relu", "leaky_relu", "sigmoid", "tanh"])
    parser.add_argument("--loss", default="mse", choices=["mse", "cross_entropy"])


def net_of(args: argparse.Namespace):
    """The network of the arguments, or None without --net."""
    from nets import Net  # not before `pin`: it loads NumPy

    if not args.net:
        if args.batch is not None:
            raise SystemExit("--batch is of --net: give both")
        return None
    layers = tuple(map(int, args.net.split("-")))
    return Net(layers, args.activation, args.loss, args.batch or 64, args.momentum, args.adam, args.dropout)
