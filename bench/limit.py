"""The distance of a training step from the machine's limit.

python bench/limit.py [--threads N]
python bench/limit.py --net 784-256-128-10 --batch 64 --momentum 0.9 --activation relu --loss cross_entropy
python bench/limit.py --net 784-256-128-10 --batch 64 --loss cross_entropy --adam --dropout 0.2

Prints microseconds per step of `bpkern.MLP.fit` (whole shuffled epochs, gather included, medians), the limit,
and the ratio of the two. `step_limit` documents what the limit contains and what it leaves out.
"""

import argparse

import one_net
from pinning import pin

# Clocks per element with vectors of 64 bytes on a core with full-width units for them, measured in isolation;
# narrower vectors take proportionally more. The softmax of cross-entropy is an exp; dropout is its generator.
CLOCKS = {"tanh": 0.74, "sigmoid": 0.6, "relu": 0.1, "leaky_relu": 0.1, "softmax": 0.6, "dropout": 1.1}


def parameter_bytes(net) -> int:
    """The bytes of all parameters and optimiser states."""
    return 4 * (sum(net.weights) + sum(net.layers[1:])) * (1 + net.states)


def level_of(net, caches: dict[str, int]) -> str:
    """The smallest memory level that holds all parameters and optimiser states.

    A step passes over all of them, from the first layer to the last and back, so if they do not fit a cache
    as a whole they are streamed from the next level. Activations and inputs do not count: wherever the bytes
    matter they are small compared with the weights.
    """
    size = parameter_bytes(net)
    return next((level for level in ("L1", "L2", "L3") if size <= caches[level]), "memory")


def step_limit(net, machine: dict) -> tuple[float, str]:
    """The least seconds of a training step on a machine described by `machine.measured`.

    For each phase of each layer the limit adds the larger of the time to compute and the time to move bytes;
    then it adds the activations' clocks. A phase computes 2 * batch * out * in operations at the FMA peak.
    Forward and delta read 4 bytes per weight; update moves 8, and 8 more for each optimiser state; at the
    bandwidth measured on a buffer as large as the parameters and states, because a guest may have less of a
    cache than the system reports. The first layer has no delta. Moving what fits the first cache costs
    nothing.

    The limit leaves out the gather of the inputs, the derivatives of the loss, and calls, so a small net
    cannot reach it. A net slightly larger than a cache can beat it, because a part of the net stays there.
    The threads share all work evenly.

    Returns
    -------
    seconds : float
    level : str
    """
    from machine import bandwidth, target

    level = level_of(net, machine["caches"])
    rates = {"read": float("inf"), "update": float("inf")}
    if level != "L1":
        rates = bandwidth(machine["isa"], parameter_bytes(net), machine["threads"])
    seconds = 0.0
    for l, weights in enumerate(net.weights):
        computing = 2 * net.batch * weights / machine["fma_peak"]
        reading = 4 * weights / rates["read"]
        updating = 8 * (1 + net.states) * weights / rates["update"]
        seconds += max(computing, reading) * (1 if l == 0 else 2) + max(computing, updating)
    clocks = sum(net.layers[1:-1]) * CLOCKS[net.activation]
    if net.dropout:
        clocks += sum(net.layers[1:-1]) * CLOCKS["dropout"]
    if net.loss == "cross_entropy":
        clocks += net.layers[-1] * CLOCKS["softmax"]
    width = 64 / target(machine["isa"])[0]
    return seconds + net.batch * clocks * width / machine["clock"] / machine["threads"], level


def measured_step(net, threads: int, rounds: int) -> float:
    """The median seconds of a step within `fit`."""
    from nets import data
    from peers_bpkern import BpkernPeer
    from timing import in_turns, repeats_for

    import bpkern

    X, y = data(net, net.steps)
    weights = bpkern.MLP(net.layers, activation=net.activation, loss=net.loss, seed=0).get_weights()
    peer = BpkernPeer(net, weights, X, y, 1e-5, threads)
    samples = in_turns({"bpkern": (peer.epochs, repeats_for(peer.epochs))}, rounds, float("inf"))
    return samples["bpkern"].quartiles()[1] / net.steps


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    one_net.add_arguments(parser)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9, help="rounds to take medians of (9)")
    return parser.parse_args()


def main() -> None:
    args = parse()
    pin(args.threads)

    from machine import described, measured
    from nets import STANDARD
    from timing import microseconds

    import bpkern

    chosen = one_net.net_of(args)
    machine = measured(bpkern.isa(), args.threads)
    print(described(machine))
    print(f"\n{'':50} {'weights':>8} {'us/step':>10} {'limit':>10} {'ratio':>6} {'GFLOP/s':>8}")
    for net in [chosen] if chosen else STANDARD:
        limit, level = step_limit(net, machine)
        step = measured_step(net, args.threads, args.rounds)
        print(
            f"{net.name:50} {level:>8} {microseconds(step):>10} {microseconds(limit):>10} {step / limit:6.2f}"
            f" {net.flops / step / 1e9:8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
