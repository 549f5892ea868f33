"""Stands in for the GPU libraries that PyTorch's Linux wheel links to, so that it runs without them.

The wheel from the package registry is built for CUDA and pulls several gigabytes of libraries that a
CPU measurement never calls. It is installed without them, and this script compiles, for each library
that is missing, an empty stand-in whose functions all answer "no device" (100). The names and their
versions are read from the symbol tables of the wheel, so the script is tied to no release of it.

    python stubs.py COMPILER

Run by the Python of the environment, once, after the installation. Needs a C compiler, which a
Rust tool chain on Linux has as its linker. Does nothing where no library is missing.
"""

import collections
import ctypes
import importlib.util
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

GPU_LIBRARY = re.compile(r"lib(cu|nv|nccl)[A-Za-z0-9_]*\.so")
GPU_SYMBOL = re.compile(r"_*(cu|nv|nccl)[A-Za-z0-9_]*")
SHT_DYNAMIC, SHT_DYNSYM, SHT_VERNEED, SHT_VERSYM = 6, 11, 0x6FFFFFFE, 0x6FFFFFFF
DT_NULL, DT_NEEDED = 0, 1


class Library:
    """What a shared library (64-bit, little-endian ELF) expects from others."""

    def __init__(self, path):
        self.needed = set()  # names of libraries
        self.undefined = set()  # (symbol, library or "", version or "")
        self.data = path.read_bytes()
        if self.data[:6] == b"\x7fELF\x02\x01":
            self._read()
        self.data = b""

    def _read(self):
        (start,) = struct.unpack_from("<Q", self.data, 40)
        size, count = struct.unpack_from("<HH", self.data, 58)
        headers = [
            struct.unpack_from("<IIQQQQIIQQ", self.data, start + index * size)
            for index in range(count)
        ]
        # kind -> (offset of the section, its length, offset of its text table)
        parts = {
            kind: (offset, length, headers[link][4] if link < count else 0)
            for _, kind, _, _, offset, length, link, _, _, _ in headers
            if kind in (SHT_DYNAMIC, SHT_DYNSYM, SHT_VERNEED, SHT_VERSYM)
        }
        if SHT_DYNAMIC in parts:
            self._read_needed(*parts[SHT_DYNAMIC])
        versions = self._versions(*parts[SHT_VERNEED]) if SHT_VERNEED in parts else {}
        if SHT_DYNSYM in parts:
            self._read_symbols(*parts[SHT_DYNSYM], parts.get(SHT_VERSYM), versions)

    def _text(self, offset):
        return self.data[offset : self.data.index(b"\0", offset)].decode("ascii", "replace")

    def _read_needed(self, offset, length, texts):
        for at in range(offset, offset + length, 16):
            tag, value = struct.unpack_from("<qQ", self.data, at)
            if tag == DT_NULL:
                return
            if tag == DT_NEEDED:
                self.needed.add(self._text(texts + value))

    def _versions(self, offset, _, texts):
        """Index of a version -> (library, version)."""
        found = {}
        while True:
            _, count, file, first, after = struct.unpack_from("<HHIII", self.data, offset)
            at = offset + first
            for _ in range(count):
                _, _, index, name, step = struct.unpack_from("<IHHII", self.data, at)
                found[index & 0x7FFF] = (self._text(texts + file), self._text(texts + name))
                at += step
            if after == 0:
                return found
            offset += after

    def _read_symbols(self, offset, length, texts, versym, versions):
        for number, at in enumerate(range(offset, offset + length, 24)):
            name, _, _, section, _, _ = struct.unpack_from("<IBBHQQ", self.data, at)
            if section != 0 or name == 0:
                continue
            index = 0
            if versym is not None:
                (index,) = struct.unpack_from("<H", self.data, versym[0] + 2 * number)
            library, version = versions.get(index & 0x7FFF, ("", ""))
            self.undefined.add((self._text(texts + name), library, version))


def is_missing(library):
    """Whether the dynamic linker does not find `library`."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return True
    return False


def code(symbols):
    """C code that defines every symbol; what returns a text returns an empty one."""
    lines = []
    for symbol in sorted(symbols):
        if re.search(r"Get(Last)?(Error)?(String|Name)$", symbol):
            lines.append(f'const char *{symbol}(void) {{ return ""; }}')
        else:
            lines.append(f"long {symbol}(void) {{ return 100; }}")
    return "\n".join(lines) + "\n"


def version_script(versions):
    """The linker's version script for `{version: symbols}`."""
    return "".join(
        f"{version} {{ global: {' '.join(symbol + ';' for symbol in sorted(symbols))} }};\n"
        for version, symbols in sorted(versions.items())
    )


def main():
    compiler = sys.argv[1]
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        sys.exit("torch is not installed")
    folder = pathlib.Path(spec.origin).parent / "lib"
    paths = sorted(folder.glob("*.so*"))
    wheel = [Library(path) for path in paths]
    needed = set().union(*(library.needed for library in wheel)) - {path.name for path in paths}
    missing = sorted(name for name in needed if GPU_LIBRARY.match(name) and is_missing(name))
    if not missing:
        return

    unversioned = set()
    versioned = collections.defaultdict(lambda: collections.defaultdict(set))
    for symbol, library, version in set().union(*(library.undefined for library in wheel)):
        if not GPU_SYMBOL.fullmatch(symbol):
            continue
        if version:
            versioned[library][version].add(symbol)
        else:
            unversioned.add(symbol)
    with tempfile.TemporaryDirectory() as scratch:
        source, script = pathlib.Path(scratch) / "stub.c", pathlib.Path(scratch) / "stub.map"
        for name in missing:
            source.write_text(code(unversioned.union(*versioned[name].values())))
            script.write_text(version_script(versioned[name]))
            options = [f"-Wl,-soname,{name}"]
            if versioned[name]:
                options.append(f"-Wl,--version-script={script}")
            subprocess.run(
                [compiler, "-shared", "-fPIC", "-w"]
                + options
                + ["-o", str(folder / name), str(source)],
                check=True,
            )
    print(f"{len(missing)} stand-ins for GPU libraries")


if __name__ == "__main__":
    main()
