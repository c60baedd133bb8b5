"""Makes packages, good and hostile, into the folder that is its argument. A file's name says its fault.

Written from ZIP's APPNOTE and docs/formats/package.md; those that Python's own zipfile can make are made by it.
"""

import hashlib
import io
import json
import pathlib
import struct
import sys
import warnings
import zipfile
import zlib

OUT = pathlib.Path(sys.argv[1])
YAML = b"kind: mira.app/v1\n"
FILE, PROGRAM = 0o100644, 0o100755


def digests(files):
    """The digest manifest of {path: (content, executable)}."""
    listed = [
        {
            "path": path,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "executable": executable,
        }
        for path, (content, executable) in sorted(files.items(), key=lambda item: item[0].encode())
    ]
    document = {"format": "mira-package", "version": 1, "files": listed}
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def entry(name, data=b"x", **more):
    """An entry as a package has it; `more` overrides what it says of itself."""
    raw = name if isinstance(name, bytes) else name.encode()
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(data) + packer.flush()
    made = {
        "name": raw, "data": data, "packed": packed, "crc": zlib.crc32(data), "size": len(data),
        "flags": 0 if raw.isascii() else 0x800, "method": 8, "mode": FILE, "system": 3,
        "time": 0, "date": 0x21, "needs": 20, "extra": b"", "central_extra": b"", "comment": b"",
        "internal": 0, "low": 0, "local": {}, "gap": b"", "at": None, "disk": 0,
    }
    made.update(more)
    return made


def archive(entries, before=b"", behind=b"", comment=b"", shift=True, count=None):
    """Lays entries out as a ZIP."""
    out, central = bytearray(before), bytearray()
    base = len(before) if shift else 0
    for e in entries:
        out += e["gap"]
        at = len(out) - len(before) + base if e["at"] is None else e["at"]
        if e["at"] is None:
            said = {**e, **e["local"]}
            out += struct.pack(
                "<IHHHHHIIIHH", 0x04034B50, said["needs"], said["flags"], said["method"], said["time"],
                said["date"], said["crc"], len(said["packed"]), said["size"], len(said["name"]), len(said["extra"]),
            ) + said["name"] + said["extra"] + e["packed"]
        central += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, e["system"] << 8 | 20, e["needs"], e["flags"], e["method"],
            e["time"], e["date"], e["crc"], len(e["packed"]), e["size"], len(e["name"]),
            len(e["central_extra"]), len(e["comment"]), e["disk"], e["internal"], e["mode"] << 16 | e["low"], at,
        ) + e["name"] + e["central_extra"] + e["comment"]
    at = len(out) - len(before) + base
    count = len(entries) if count is None else count
    out += central + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(central), at, len(comment)) + comment
    return bytes(out) + behind


def package(*more, listed=None, entries=None, **how):
    """A package with mira.yaml and these entries, which the digest manifest lists unless `listed` says otherwise."""
    files = {"mira.yaml": (YAML, False)}
    for e in more:
        name = e["name"].decode("utf-8", "replace")
        files[name] = (e["data"], e["mode"] == PROGRAM)
    manifest = digests(files if listed is None else listed)
    every = [entry("mira.digests.json", manifest), entry("mira.yaml", YAML), *more]
    every = sorted(every, key=lambda e: e["name"]) if entries is None else entries(every)
    return archive(every, **how)


def save(name, content):
    (OUT / name).write_bytes(content)


def by_zipfile(name, add, stream=False, comment=b""):
    """A package that Python's zipfile writes; `add` gets the function that adds an entry."""
    buffer = io.BytesIO()

    class Unseekable(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            return buffer.write(data)

    files, chosen = {}, []

    def remember(path, content, mode=FILE, method=zipfile.ZIP_DEFLATED, listed=True):
        if listed:
            files[path] = (content, mode == PROGRAM)
        info = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
        info.create_system, info.external_attr, info.compress_type = 3, mode << 16, method
        chosen.append((info, content))

    remember("mira.yaml", YAML)
    add(remember)
    remember("mira.digests.json", digests(files), listed=False)
    with warnings.catch_warnings(), zipfile.ZipFile(Unseekable() if stream else buffer, "w") as made:
        warnings.simplefilter("ignore")
        for info, content in sorted(chosen, key=lambda pair: pair[0].filename.encode()):
            made.writestr(info, content)
        made.comment = comment
    save(name, buffer.getvalue())


# What is to be opened.
save("good-by-hand", package(entry("app.py", b"print(1)\n", mode=PROGRAM), entry("für/日本.txt", b"y")))
save("good-stored", package(entry("a", b"x", method=0, packed=b"x")))
by_zipfile("good-by-zipfile", lambda add: (add("app.py", b"print(1)\n", PROGRAM), add("für/日本.txt", b"y")))
by_zipfile("good-by-zipfile-stored", lambda add: add("a", b"x", method=zipfile.ZIP_STORED))

# Names.
for fault, name in {
    "parent": "../evil", "parent-inside": "a/../../evil", "absolute": "/etc/evil", "empty-part": "a//b", "here": "./a",
    "drive": "C:/evil", "backslash": "..\\evil", "nul": "evil\0.txt", "newline": "a\nb", "escape": "a\x1b[2Jb",
    "right-to-left": "a\u202etxt.exe", "stream": "a:b", "device": "NUL", "device-ending": "lib/con.txt", "dot-end": "a.",
    "blank-end": "a ", "decomposed": "fu\u0308r", "long": "a" * 256, "deep": "d/" * 80 + "a",
}.items():
    save(f"name-{fault}", package(entry(name)))
save("name-latin1", package(entry(b"f\xfcr", flags=0), listed={"mira.yaml": (YAML, False)}))
save("name-not-utf8", package(entry(b"f\xfcr"), listed={"mira.yaml": (YAML, False)}))
save("collision-case", package(entry("README"), entry("readme")))
save("collision-folder-case", package(entry("Lib/a"), entry("lib/b")))
save("collision-form", package(entry("file"), entry("ﬁle")))
save("collision-file-and-folder", package(entry("a"), entry("a/b")))
save("collision-digests", package(entry("MIRA.digests.json")))

# What is no plain file.
by_zipfile("kind-symlink", lambda add: add("link", b"/etc/passwd", 0o120777))
by_zipfile("kind-folder", lambda add: add("folder/", b"", 0o040755))
for fault, mode in {"fifo": 0o010644, "device": 0o020644, "setuid": 0o104755, "world-writable": 0o100666, "no-type": 0o644}.items():
    save(f"kind-{fault}", package(entry("a", mode=mode)))
save("kind-dos", package(entry("a", system=0)))
save("kind-attributes", package(entry("a", low=0x10)))

# Twice, not at all, or not as described.
by_zipfile("order-twice", lambda add: (add("a", b"one"), add("a", b"two")))
save("order-unsorted", package(entry("a"), entries=lambda every: every))
save("undescribed-extra-file", package(entry("a"), listed={"mira.yaml": (YAML, False)}))
save("undescribed-missing-file", package(listed={"mira.yaml": (YAML, False), "a": (b"x", False)}))
save("undescribed-size", package(entry("a"), listed={"mira.yaml": (YAML, False), "a": (b"xx", False)}))
save("undescribed-mode", package(entry("a", mode=PROGRAM), listed={"mira.yaml": (YAML, False), "a": (b"x", False)}))
save("content-digest", package(entry("a"), listed={"mira.yaml": (YAML, False), "a": (b"y", False)}))
save("content-crc", package(entry("a", crc=1)))
save("content-longer", package(entry("a", b"x" * 100, size=1), listed={"mira.yaml": (YAML, False), "a": (b"x", False)}))
save("content-shorter", package(entry("a", b"x", size=2), listed={"mira.yaml": (YAML, False), "a": (b"xx", False)}))
save("content-not-deflate", package(entry("a", packed=b"\xff\xff\xff"), listed={"mira.yaml": (YAML, False), "a": (b"x", False)}))
save("missing-manifest", archive([entry("mira.digests.json", digests({}))]))
save("missing-digests", archive([entry("mira.yaml", YAML)]))
save("digests-not-json", archive([entry("mira.digests.json", b"{"), entry("mira.yaml", YAML)]))
save("digests-spelling", archive([entry("mira.digests.json", digests({"mira.yaml": (YAML, False)}).replace(b"  ", b" ")), entry("mira.yaml", YAML)]))

# Features of ZIP, and the two descriptions.
by_zipfile("feature-descriptor", lambda add: add("a", b"x"), stream=True)
by_zipfile("feature-bzip2", lambda add: add("a", b"x", method=zipfile.ZIP_BZIP2))
save("feature-encrypted", package(entry("a", flags=1)))
save("feature-utf8-flag", package(entry("a", flags=0x800)))
save("feature-central-extra", package(entry("a", central_extra=b"\x01\x00\x00\x00")))
save("feature-entry-comment", package(entry("a", comment=b"hello")))
save("feature-time", package(entry("a", time=1)))
save("feature-disk", package(entry("a", disk=1)))
save("feature-internal", package(entry("a", internal=1)))
save("feature-version", package(entry("a", needs=63)))
save("differ-extra", package(entry("a", local={"extra": b"\x01\x00\x00\x00"})))
save("differ-name", package(entry("a", local={"name": b"b"})))
save("differ-size", package(entry("a", local={"size": 2})))
save("differ-crc", package(entry("a", local={"crc": 2})))
save("differ-method", package(entry("a", local={"method": 0})))
save("differ-flags", package(entry("a", local={"flags": 1})))

# Bytes that belong to nobody, or to two.
good = package(entry("a"))
save("end-comment", package(entry("a"), comment=b"hello"))
by_zipfile("end-comment-by-zipfile", lambda add: None, comment=b"hello")
save("end-garbage", good + b"garbage")
save("end-second-archive", good + good)
save("end-cut", good[:-1])
save("end-cut-half", good[: len(good) // 2])
save("gap-count-low", package(entry("a"), count=2))
save("end-count-high", package(entry("a"), count=4))
save("not-zip-before", package(entry("a"), before=b"#!/bin/sh\nexit\n"))
save("not-zip-before-unshifted", package(entry("a"), before=b"#!/bin/sh\nexit\n", shift=False))
save("not-zip-empty", b"")
save("not-zip-no-entries", archive([]))
save("not-zip-text", b"kind: mira.app/v1\n" * 10)
save("gap-before-first", package(entry("a", gap=b"PK\3\4gap")))
save("gap-between", package(entry("z", gap=b"gap")))
save("gap-overlap", package(entry("a"), entry("b", at=0)))
save("gap-overlap-quoted", package(entry("z", b"z" * 30, at=10)))

# Bombs.
zeros = b"\0" * (40 * 1024 * 1024)
save("unpacked-bomb", package(entry("zeros", zeros)))
many = [entry(f"f/{at:05}", b"") for at in range(10_001)]
save("files-too-many", package(*many))
save("files-all-that-fit", package(*many[:9_999]))
