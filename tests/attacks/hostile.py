"""Values for malicious files: numbers at the ends of their ranges, and values of wrong types."""

import json
from typing import Any, NamedTuple

import numpy as np

from bpkern._files import container

Arrays = dict[str, np.ndarray]
Rng = np.random.Generator


class Original(NamedTuple):
    """A valid file: its bytes and its contents."""

    raw: bytes
    config: dict[str, Any]
    arrays: Arrays


def one(rng: Rng, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def extreme(rng: Rng, bits: int, value: int = 0) -> int:
    """A `bits`-bit number at an end of its range, near `value`, or random."""
    top = 1 << bits
    choices = (0, 1, 2, top - 1, top - 2, top // 2, top // 2 - 1, value + 1, value - 1, 2 * value, value // 2)
    if rng.random() < 0.8:
        return one(rng, choices) % top
    return int.from_bytes(rng.bytes(bits // 8), "little")


# Placeholders for JSON text that Python's own encoder does not write.
TOKENS = {
    "@huge@": "1e999",
    "@minus@": "-1e999",
    "@nan@": "NaN",
    "@infinity@": "-Infinity",
    "@digits@": "9" * 5000,
    "@deep@": "[" * 5000 + "]" * 5000,
    # Depths around Python's recursion limit: some readers get through, others do not.
    **{f"@lists {depth}@": "[" * depth + "]" * depth for depth in range(70, 1000, 30)},
    **{f"@objects {depth}@": '{"a":' * depth + "1" + "}" * depth for depth in range(70, 1000, 30)},
    **{f"@floats {depth}@": '{"float":' * depth + "1" + "}" * depth for depth in range(70, 1000, 90)},
}


VALUES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 5, 624, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 2**70),
    *(-(2**63), 2**127, 10**400, 10**4299, 0.0, -0.0, 0.5, 1.5, -1.0, 1e308, 1e-320, 1e39),
    *(
        "",
        "nan",
        "inf",
        "O",
        "S1000000000",
        "V2000000000",
        "a5",
        "f8,f8",
        "(1000000,)f4",
        "M8[s]",
        "datetime64",
    ),
    *("\ud800", "\0", "x" * 10**5, "../../etc/passwd", "os.system", "builtins.exec", "callable", "custom"),
    *("relu", "gelu", "float64", "mse", "huber", "quantile", "cross_entropy", "sgd", "adam", "adagrad", "lr"),
    *("PCG64", "MT19937", "Philox", "SFC64", "auto", "1", "-5", *TOKENS),
    *([], [[]], [1, [2]], [None], [0.5, 0.5], [10**9, 10**9], [2**62, 2**62], [5, 10**12], [1] * 5000),
    *(["x" * 20000] + ["a"] * 20000, [0.0] * 5000, [10**400] * 3, ["relu"] * 3000, [True], ["lr", "lr"]),
    *({}, {"a": 1}, {"callable": True}, {"float": "nan"}, {"float": []}, {"name": "huber"}, {"rule": "sgd"}),
    *({"name": "huber", "delta": 1.0}, {"name": "quantile", "q": ["x" * 20000] + ["a"] * 20000}),
    *({"schedule": "Step"}, {"schedule": "Cosine", "lr": 1, "iterations": 10**400}),
    *({"dtype": "O", "values": [1, 2]}, {"dtype": "S1000000000", "values": ["a"]}),
    *({"dtype": "uint32", "values": [2**40] * 624}, {"dtype": "(1000000,)f4", "values": [1, 2, 3]}),
    *({"dtype": "uint64", "values": []}, {"dtype": "uint32", "values": [1] * 600}, {"class": "os.system"}),
)


def as_text(value: Any) -> str:
    text = json.dumps(value)
    for token, json_of in TOKENS.items():
        text = text.replace(f'"{token}"', json_of)
    return text


def metadata_of(text: str, arrays: Arrays) -> dict[str, Any]:
    """Metadata with the right digest."""
    metadata = {"format": "bpkern", "version": "1", "config": text}
    return metadata | {"sha256": container.digest(metadata, arrays)}
