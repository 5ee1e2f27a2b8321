"""Paste the results of all attacks into the table of docs/attacks.md.

python tests/attacks/table.py [--state DIR]
"""

import argparse
import json
from pathlib import Path

from journal import ROOT, STATE

PAGE = ROOT / "docs" / "attacks.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
HEAD = "| what must hold | trials | failed | command | result |\n| --- | --- | --- | --- | --- |\n"


def row(kept: dict) -> str:
    done = f"{kept['done']}" if kept["done"] == kept["trials"] else f"{kept['done']} of {kept['trials']}"
    result = kept.get("result", "not at its end")
    return f"| {kept['what']} | {done} | {kept['failed']} | `{kept['command']}` | {result} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--state", type=Path, default=STATE)
    state = parser.parse_args().state
    kept = [json.loads(path.read_text()) for path in sorted(state.glob("*.json"))]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    rows = "".join(map(row, sorted(kept, key=lambda kept: kept["command"])))
    PAGE.write_text(f"{before}{BEGIN}\n{HEAD}{rows}{END}{after}")
    print(f"{len(kept)} attacks, of sources {', '.join(sorted({one['sources'] for one in kept}))}")


if __name__ == "__main__":
    main()
