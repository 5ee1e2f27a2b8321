"""Checks of the files of a release that no other tool makes.

python release/check.py FOLDER [TAG]

Each file is of the version in pyproject.toml, and so is the tag, if there is one. There is one sdist, and
every wheel of docs/platforms.md. No wheel exceeds 2 MB.
"""

import re
import sys
import tomllib
from pathlib import Path

from packaging.utils import parse_sdist_filename, parse_wheel_filename

ROOT = Path(__file__).parents[1]
MOST_BYTES = 2_000_000
NATIVE = (
    r"manylinux_\d+_\d+_x86_64",
    r"manylinux_\d+_\d+_aarch64",
    r"musllinux_\d+_\d+_x86_64",
    r"musllinux_\d+_\d+_aarch64",
    r"macosx_\d+_\d+_arm64",
    r"macosx_\d+_\d+_x86_64",
    r"win_amd64",
    r"win_arm64",
)


def main(folder: str, tag: str = "") -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    version = project["project"]["version"]
    built = re.findall(r"cp\d+", project["tool"]["cibuildwheel"]["build"])
    found, errors = set(), []
    if tag and tag != f"v{version}":
        errors.append(f"the tag is {tag}, and the version {version}")
    sdists = sorted(Path(folder).glob("*.tar.gz"))
    wheels = sorted(Path(folder).glob("*.whl"))
    if len(sdists) != 1:
        errors.append(f"there must be 1 sdist, not {len(sdists)}")
    versions = {path.name: str(parse_sdist_filename(path.name)[1]) for path in sdists}
    for path in wheels:
        _, wheel_version, _, tags = parse_wheel_filename(path.name)
        versions[path.name] = str(wheel_version)
        found |= {(tag.interpreter, tag.platform) for tag in tags}
        if path.stat().st_size > MOST_BYTES:
            errors.append(f"{path.name} has {path.stat().st_size} bytes, more than {MOST_BYTES}")
    errors += [f"{name} is not of version {version}" for name in versions if versions[name] != version]
    for python in built:
        for pattern in NATIVE:
            if not any(name == python and re.fullmatch(pattern, platform) for name, platform in found):
                errors.append(f"no wheel for {python} on {pattern}")
    if not any("wasm32" in platform for _, platform in found):
        errors.append("no wheel for Pyodide")
    if errors:
        sys.exit("\n".join(errors))
    print(f"version {version}: {len(wheels)} wheels and an sdist")


if __name__ == "__main__":
    main(*sys.argv[1:])
