"""Manifests that wish ill to their reader, or to the store that keeps them."""

from __future__ import annotations

from forging import INVALID, MANIFEST, Hostile, package, zipped


def manifests() -> dict[str, Hostile]:
    head = MANIFEST.partition("[example]")[0]
    cases: dict[str, tuple[str, str]] = {
        "a key of a hundred thousand parts": ("a" + ".a" * 100_000 + " = 1", "a key of more than 16 parts"),
        "a table of a hundred thousand parts": (
            f"[{'.'.join('a' * 100_000)}]",
            "a key of more than 16 parts",
        ),
        "brackets without end": ("a = " + "[" * 500_000, "nested more than 32 levels"),
        "tables in tables in tables": ("a = " + "{a = " * 5000 + "1" + "}" * 5000, "nested more than 32"),
        "an integer of a million digits": (f"{head}[example]\nx = {'9' * 2**19}", "4300 digits"),
        "an integer of a million bits": (f"{head}[example]\nx = 0x{'f' * 2**19}", "more than 64 bits"),
        "an integer of sixty-five bits": (f"{head}[example]\nx = {2**64}", "more than 64 bits"),
        "infinity": (f"{head}[example]\nx = inf", "holds inf"),
        "no number": (f"{head}[example]\nx = [[nan]]", "holds nan"),
        "NUL": (f'{head}[example]\nx = "\\u0000"', "U+0000"),
        "NUL in a name": (f'{head}[example]\n"\\u0000" = 1', "U+0000"),
        "a hundred thousand unknown fields": ("\n".join(f"f{n} = 1" for n in range(90_000)), "required"),
        "a format of the future": (f"format = 2\n{MANIFEST}", "format"),
        "an absurd picture": (
            f"{MANIFEST}[preprocessing.image]\nwidth = 99999999999\nheight = -1\n",
            "preprocessing.image.width",
        ),
        "absurd lanes": (f"{MANIFEST}[serving]\nlanes = 99999999\nmax_wait_ms = 1e300", "serving.lanes"),
        "absurd characters": (
            f"{MANIFEST}[preprocessing]\nmax_characters = 9223372036854775807\n",
            "max_characters",
        ),
        "a tokenizer elsewhere": (
            f'{MANIFEST}[preprocessing]\ntokenizer = "../../etc/passwd"',
            "the file is called tokenizer.json",
        ),
        "a tokenizer by address": (
            f'{MANIFEST}[preprocessing]\ntokenizer = "http://169.254.169.254/latest"',
            "the file is called tokenizer.json",
        ),
    }
    found = {name: Hostile(package(text), INVALID, says) for name, (text, says) in cases.items()}
    found["a manifest in another alphabet"] = Hostile(
        zipped({"maas.toml": MANIFEST.encode("utf-16"), "model.onnx": b"x"}), INVALID, "not UTF-8"
    )
    found["labels that are no text"] = Hostile(
        package(labels__txt="a\n\0\n" + "b" * 100_000), INVALID, "U+0000"
    )
    found["a million labels"] = Hostile(
        package(labels__txt="\n".join(f"{n:x}" for n in range(2**20))), INVALID, "at most 100,000 labels"
    )
    return found
