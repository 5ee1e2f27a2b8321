"""All attacks, one file after another: stopped attacks continue, finished ones are not run again."""

import argparse
import subprocess
import sys
from pathlib import Path

from journal import STATE

# The end of every file that is a command of attacks.
COMMAND = "main(__file__)\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python tests/attacks", description=__doc__)
    parser.add_argument("--state", type=Path, default=STATE, help="folder of the journals (.attacks)")
    parser.add_argument("--anew", action="store_true", help="start again from the first trials")
    given = parser.parse_args()
    options = ["--state", str(given.state), *(["--anew"] if given.anew else [])]
    folder = Path(__file__).resolve().parent
    failed = [
        path.name
        for path in sorted(folder.glob("*.py"))
        if path.read_text().endswith(COMMAND)
        and subprocess.run([sys.executable, str(path), *options], check=False).returncode
    ]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
