"""All attacks, one file after another: what was stopped goes on, and what is done is not done again."""

import argparse
import subprocess
import sys
from pathlib import Path

from journal import STATE

# What is no attack itself.
OTHERS = {"__main__.py", "diverging.py", "journal.py", "table.py"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python tests/attacks", description=__doc__)
    parser.add_argument("--state", type=Path, default=STATE, help="of the journals; .attacks by default")
    parser.add_argument("--anew", action="store_true", help="from the first trials on")
    given = parser.parse_args()
    options = ["--state", str(given.state), *(["--anew"] if given.anew else [])]
    folder = Path(__file__).resolve().parent
    failed = [
        path.name
        for path in sorted(folder.glob("*.py"))
        if path.name not in OTHERS
        and subprocess.run([sys.executable, str(path), *options], check=False).returncode
    ]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
