"""Random expressions of scalars, to be computed with floats, nodes of `bpkern.graph` or tensors."""

import math
import operator
import random

ARITHMETIC = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
    "negative": operator.neg,
}
FLOATS = ARITHMETIC | {
    "exp": math.exp,
    "log": math.log,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)),
    "relu": lambda a: max(a, 0.0),
    "max": max,
}
BINARY = ("add", "subtract", "multiply", "divide", "power", "max")
NUMBERS = (-2, -1, -0.5, 0.5, 1, 2, 3)

# Away from poles and kinks, and of a size that leaves digits to differences.
LEAST, MOST = 0.1, 20.0


def random_expression(seed):
    """Values of the variables, and the steps: an operation and its operands each.

    An operand is ("constant", number), or the number of a variable or, counted on from these, of a step.
    """
    rng = random.Random(seed)
    start = [rng.uniform(-2, 2) for _ in range(rng.randint(1, 4))]
    steps, values = [], list(start)
    while len(steps) < 12:
        name = rng.choice(list(FLOATS))
        operands = [rng.randrange(len(values)) for _ in range(2 if name in BINARY else 1)]
        if len(operands) == 2 and rng.random() < 0.25:
            operands[rng.randrange(2)] = ("constant", rng.choice(NUMBERS))
        given = [values[one] if isinstance(one, int) else one[1] for one in operands]
        if is_smooth(name, operands, given):
            value = FLOATS[name](*given)
            if abs(value) < MOST:
                steps.append((name, operands))
                values.append(value)
    return start, steps


def is_smooth(name, operands, values):
    """Whether an operation has derivatives near these values, by the operands that are no constants."""
    if all(not isinstance(one, int) for one in operands):
        return False
    if name == "divide":
        return abs(values[1]) > LEAST
    if name == "power":
        return values[0] > LEAST or (operands[1] == ("constant", 2))
    if name == "log":
        return values[0] > LEAST
    if name == "relu":
        return abs(values[0]) > LEAST
    if name == "exp":
        return values[0] < 3
    return name != "max" or abs(values[0] - values[1]) > LEAST


def computed(steps, variables, functions):
    """The last step's value, from these variables, by these functions."""
    values = list(variables)
    for name, operands in steps:
        given = [values[one] if isinstance(one, int) else one[1] for one in operands]
        values.append(functions[name](*given))
    return values[-1]
