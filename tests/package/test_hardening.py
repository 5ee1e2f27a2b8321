"""The extension is built with the protections of linker and compiler, read from its ELF file on Linux."""

import platform
import struct
import sys
from pathlib import Path

import pytest

from bpkern import _core

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has ELF files and these protections"
)

PT_DYNAMIC, PT_GNU_STACK, PT_GNU_RELRO = 2, 0x6474E551, 0x6474E552
PF_X = 1
DT_FLAGS, DT_FLAGS_1, DT_BIND_NOW = 30, 0x6FFFFFFB, 24
DF_BIND_NOW, DF_1_NOW = 8, 1
SHT_DYNSYM = 11


class Elf:
    """The parts of a 64-bit, little-endian ELF file that tell of its protections."""

    def __init__(self, path):
        self.bytes = Path(path).read_bytes()
        assert self.bytes[:6] == b"\x7fELF\x02\x01"
        (self.segments_at, self.sections_at) = struct.unpack_from("<QQ", self.bytes, 32)
        (size, self.segment_count, section_size, self.section_count) = struct.unpack_from(
            "<HHHH", self.bytes, 54
        )
        assert (size, section_size) == (56, 64)

    def segments(self):
        """(type, flags, offset, size in the file) of each."""
        for i in range(self.segment_count):
            kind, flags, offset, _, _, size = struct.unpack_from(
                "<IIQQQQ", self.bytes, self.segments_at + 56 * i
            )
            yield kind, flags, offset, size

    def dynamic(self):
        """The dynamic section: values by tag."""
        [(_, _, offset, size)] = [segment for segment in self.segments() if segment[0] == PT_DYNAMIC]
        return dict(struct.iter_unpack("<QQ", self.bytes[offset : offset + size]))

    def imports(self):
        """The names of the undefined symbols."""
        sections = [
            struct.unpack_from("<IIQQQQIIQQ", self.bytes, self.sections_at + 64 * i)
            for i in range(self.section_count)
        ]
        [table] = [section for section in sections if section[1] == SHT_DYNSYM]
        strings = sections[table[6]][4]
        for name, _, _, section, _, _ in struct.iter_unpack(
            "<IBBHQQ", self.bytes[table[4] : table[4] + table[5]]
        ):
            if section == 0 and name:
                at = strings + name
                yield self.bytes[at : self.bytes.index(0, at)].decode()


@pytest.fixture(scope="module")
def elf():
    return Elf(_core.__file__)


@pytest.fixture(scope="module")
def imports(elf):
    names = set(elf.imports())
    if any(name.startswith(("__asan", "__ubsan", "__tsan")) for name in names):
        pytest.skip("a build with sanitizers has other protections")
    return names


def test_the_stack_is_not_executable(elf):
    assert [flags & PF_X for kind, flags, _, _ in elf.segments() if kind == PT_GNU_STACK] == [0]


def test_addresses_are_bound_at_the_start_and_then_read_only(elf, imports):
    assert PT_GNU_RELRO in [segment[0] for segment in elf.segments()]
    dynamic = elf.dynamic()
    assert (
        DT_BIND_NOW in dynamic
        or dynamic.get(DT_FLAGS, 0) & DF_BIND_NOW
        or dynamic.get(DT_FLAGS_1, 0) & DF_1_NOW
    )


def test_functions_with_arrays_check_their_stack(imports):
    assert "__stack_chk_fail" in imports


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has functions that check sizes")
def test_copies_are_checked_against_the_memory_they_go_to(imports):
    kind, _, version = _core.compiler.partition(" ")
    if kind == "GNU" and int(version.split(".")[0]) < 12:
        pytest.skip("GCC before 12 knows the size of no memory that is allocated at run time")
    assert any(name.startswith("__") and name.endswith("_chk") for name in imports)


def test_the_file_is_read_as_it_is(elf):
    """The symbols that the extension certainly imports are found."""
    assert "PyErr_CheckSignals" in set(elf.imports())
