"""Archives that wish ill to whoever unpacks them."""

from __future__ import annotations

import stat
import struct
import zlib

from forging import INVALID, MANIFEST, Entry, Hostile, deflated, forged, zipped


def _zeros(megabytes: int) -> bytes:
    """Return so many megabytes of zeros, deflated: each the same block, after which nothing is remembered."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * megabytes + packer.flush()


def _saying_more(content: bytes) -> bytes:
    """Return a zip of whose last entry the list says that it is a byte longer than it is."""
    at = content.rindex(b"PK\1\2") + 24  # APPNOTE.TXT, section 4.3.12
    (size,) = struct.unpack_from("<I", content, at)
    return content[:at] + struct.pack("<I", size + 1) + content[at + 4 :]


def _overlapping() -> bytes:
    """Return a zip whose entries share one bomb (D. Fifield, "A better zip bomb", WOOT 2019)."""
    bomb = _zeros(60)
    names = [b"model.onnx", b"maas.toml", b"labels.txt", b"README.md", b"LICENSE", b"NOTICE"]
    shared = [Entry(name, bomb, 60 * 2**20, offset=0) for name in names[1:]]
    return forged([Entry(names[0], bomb, 60 * 2**20), *shared])


def _nested() -> bytes:
    inner = zipped({"model.onnx": bytes(2**20)})
    for _ in range(5):
        inner = zipped({f"{number}.zip": inner for number in range(8)})
    return zipped({"maas.toml": MANIFEST, "model.onnx": b"", "README.md": inner, "more.zip": inner})


def zips() -> dict[str, Hostile]:
    good = {"maas.toml": MANIFEST, "model.onnx": b"x"}
    links = {"a symbolic link": stat.S_IFLNK, "a device": stat.S_IFCHR, "a pipe": stat.S_IFIFO}
    hard_link = struct.pack("<HHIIHH", 0x000D, 12 + 9, 0, 0, 0, 0) + b"maas.toml"
    lying = deflated(MANIFEST.encode())
    return {
        "no zip": Hostile(b"no zip at all", INVALID, "readable zip"),
        "a zip in a zip in a zip": Hostile(_nested(), INVALID, "'more.zip' has no place"),
        "a deflate bomb": Hostile(
            forged(
                [Entry(b"maas.toml", lying, len(MANIFEST)), Entry(b"model.onnx", _zeros(256), 256 * 2**20)]
            ),
            INVALID,
            "more than 100 times",
        ),
        "a bomb of a manifest": Hostile(
            zipped({**good, "maas.toml": bytes(60 * 2**20)}), INVALID, "maas.toml is larger than 1,048,576"
        ),
        "overlapping entries": Hostile(_overlapping(), INVALID, "overlaps"),
        "an entry that says it is small": Hostile(
            forged([Entry(b"maas.toml", _zeros(60), 10), Entry(b"model.onnx", lying, 10)]), INVALID, "damaged"
        ),
        "an entry that says it is large": Hostile(
            forged([Entry(b"maas.toml", lying, len(MANIFEST)), Entry(b"model.onnx", b"", 2**31)]),
            INVALID,
            "more than",
        ),
        "an entry that holds less than it says": Hostile(
            _saying_more(zipped(good)), INVALID, "model.onnx holds fewer bytes than its entry declares"
        ),
        "an entry beyond the end": Hostile(
            forged([Entry(b"maas.toml", lying, len(MANIFEST)), Entry(b"model.onnx", offset=2**31)]),
            INVALID,
            "outside of it",
        ),
        "an entry that says it is longer than the zip": Hostile(
            forged([Entry(b"maas.toml", lying, 9, packed_size=2**31), Entry(b"model.onnx", lying, 9)]),
            INVALID,
            "overlaps",
        ),
        "two names for one entry": Hostile(
            forged([Entry(b"evil.dll00", listed_as=b"maas.toml0"), Entry(b"model.onnx", lying, 10)]),
            INVALID,
            "no place",
        ),
        "a list that names what is not there": Hostile(
            forged([Entry(b"evil.toml", lying, 10, listed_as=b"maas.toml"), Entry(b"model.onnx", lying, 10)]),
            INVALID,
            "damaged",
        ),
        "a manifest twice": Hostile(
            forged([Entry(b"maas.toml", lying, 10), Entry(b"model.onnx"), Entry(b"maas.toml", lying, 10)]),
            INVALID,
            "'maas.toml' twice",
        ),
        "a million entries": Hostile(forged([Entry(b"maas.toml")], times=2**20), INVALID, "list of entries"),
        "a million entries that says it has one": Hostile(
            forged([Entry(b"maas.toml")], times=2**20, count=1),
            INVALID,
            "list of entries",
        ),
        "a name of sixty kilobytes": Hostile(zipped({**good, "a" * 60_000: b""}), INVALID, "has no place"),
        "a thousand folders deep": Hostile(zipped({**good, "a/" * 1000 + "b": b""}), INVALID, "in a folder"),
        "a hard link": Hostile(
            forged([Entry(b"maas.toml", lying, 10), Entry(b"model.onnx", method=0, extra=hard_link)]),
            INVALID,
            "damaged",
        ),
        "bzip2": Hostile(forged([Entry(b"maas.toml", b"BZh9", 10, method=12)]), INVALID, "by deflate"),
        **{
            f"{name} as its manifest": Hostile(zipped(good, mode=mode | 0o777), INVALID, "a link or a device")
            for name, mode in links.items()
        },
        **{
            f"a file named {name!a}": Hostile(zipped({**good, name: b"x"}), INVALID, "zip")
            for name in ("../maas.toml", "/etc/passwd", "..\\maas.toml", "C:\\maas.toml", "data/maas.toml")
        },
        **{
            f"a file named {name!a}": Hostile(zipped({**good, name: b"x"}), INVALID, "has no place")
            for name in LOOK_ALIKES
        },
        "a name that NUL cuts": Hostile(
            forged([Entry(b"maas.toml\0.sh", lying, 10), Entry(b"model.onnx", lying, 10)]),
            INVALID,
            "in a folder",
        ),
    }


LOOK_ALIKES = (
    "\uff4d\uff41\uff41\uff53.toml",  # full width, which NFKC folds
    "ma\u0061\u0301s.toml",  # a combining accent, which NFC composes
    "m\u0430as.toml",  # Cyrillic
    "\u202elmot.saam",  # written from right to left
    "maas\u200b.toml",  # a space of no width
    "maas.toml#",
    "maas%2ftoml",
    "..",
    ".",
    "maas.toml ",
    "MAAS.TOML",
)
