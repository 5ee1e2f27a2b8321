"""All attacks, one file after another; what was stopped goes on, and what is done is not done again.

python tests/attacks [--state DIR] [--anew]

Exit status 1 where one failed.
"""

import subprocess
import sys
from pathlib import Path

HELPERS = {"__main__.py", "interrupted_calls.py", "journal.py", "table.py"}


def main() -> None:
    folder = Path(__file__).resolve().parent
    scripts = [path for path in sorted(folder.glob("*.py")) if path.name not in HELPERS]
    failed = [
        path.name
        for path in scripts
        if subprocess.run([sys.executable, str(path), *sys.argv[1:]], check=False).returncode
    ]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
