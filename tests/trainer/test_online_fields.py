"""The special paths of training list every field of a run, a net and a layer as served or refused: steps of
tiny nets, and activations computed ahead."""

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parents[2] / "csrc"
HEADERS = (CSRC / "bpkern.h", CSRC / "trainer" / "net.h")

# Listed as a whole: is_plain decides on a source, saved_counts is a copy, groups are several, and layers
# have their own list.
WHOLE = {"bpk_source", "saved_counts", "groups", "mix_group", "layers"}


def structs():
    """The fields of every struct of the headers: {struct: [(type, name)]}."""
    found = {}
    for header in HEADERS:
        text = re.sub(r"/\*.*?\*/", " ", header.read_text(), flags=re.S)
        for body, name in re.findall(r"typedef struct \{(.*?)\} (\w+);", text, re.S):
            found[name] = fields(body)
        for name, body in re.findall(r"^struct (\w+) \{(.*?)^\};", text, re.S | re.M):
            found[name] = fields(body)
    return found


def fields(body):
    listed = []
    for declaration in filter(None, map(str.strip, body.split(";"))):
        if "(*" in declaration:  # a function
            listed.append(("function", re.search(r"\(\*(\w+)\)", declaration)[1]))
            continue
        kind, names = re.fullmatch(r"(?:const )?(?:unsigned )?(\w+)\s+(.*)", declaration, re.S).groups()
        listed += [(kind, re.match(r"\**(\w+)", name.strip())[1]) for name in names.split(",")]
    return listed


def leaves(known, struct, prefix=""):
    """The path of every field that is not a struct itself."""
    for kind, name in known[struct]:
        if name in WHOLE or kind in WHOLE or kind not in known:
            yield f"{prefix}{name}"
        else:
            yield from leaves(known, kind, f"{prefix}{name}.")


def listed(what, path):
    text = (CSRC / "trainer" / path).read_text()
    return re.findall(rf"^    (?:SERVED|REFUSED)\({what}, ([\w.]+)[,)]", text, re.M)


@pytest.mark.parametrize("path", ["online.c", "ahead.c"])
@pytest.mark.parametrize(
    ("what", "struct", "count"), [("run", "bpk_run", 46), ("net", "bpk_net", 19), ("layer", "net_layer", 10)]
)
def test_every_field_is_listed_once(what, struct, count, path):
    expected = [name for name in leaves(structs(), struct) if name != "layers"]
    assert len(expected) >= count  # the headers were read
    assert sorted(listed(what, path)) == sorted(expected)
