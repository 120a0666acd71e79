"""Make the SDK's synchronous face from the asynchronous one, so that the two cannot differ.

Each `maas_client/_async_X.py` listed here becomes `maas_client/_X.py` without its `async` and `await`;
`--check` only tells whether that was done. The transports, where the two do differ, are written by hand.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "maas_client"
FILES = (
    "client",
    "resource",
    "service",
    "account",
    "models",
    "versions",
    "aliases",
    "model_handle",
    "jobs",
    "evaluation",
    "explanations",
    "fine_tunes",
    "advice",
    "traffic",
    "shares",
    "capture",
    "audit",
    "listing",
    "bulk",
    "saved_login",
    "transfers",
    "history",
    "pins",
    "diff",
    "trials",
)
NOTICE = "# Made from {source} by tools/make_sync_face.py: change that file, then run `make format`.\n"
RULES = (
    (r"\bthe asynchronous face\b", "the synchronous face"),
    (r"\bThe asynchronous face of the SDK;.*", 'The synchronous face of the SDK."""'),
    (r"; tasks may share it, ", "; threads may share it, "),
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\bawait ", ""),
    (r"\b_async_(\w+)", r"_\1"),
    (r"\bAsync(\w+)", r"\1"),
    (r"\bStopAsync(\w+)", r"Stop\1"),
    (r"\ba(iter|next|closing)\b", r"\1"),
    (r"\b__a(enter|exit|iter)__", r"__\1__"),
)
# The last makes a list of what is no longer an asynchronous comprehension.
FIXES = ["check", "--fix-only", "--unsafe-fixes", "--quiet", "--select", "I,UP,F401,C416"]


def synchronous(source: Path) -> str:
    """Return the synchronous text of an asynchronous module, formatted."""
    text = source.read_text(encoding="utf-8")
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    text = NOTICE.format(source=source.name) + text
    for command in (FIXES, ["format", "--quiet"]):
        done = subprocess.run(
            [Path(sys.executable).parent / "ruff", *command, "--stdin-filename", PACKAGE / "_made.py", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        text = done.stdout
    return text


def main() -> None:
    """Write every file, or with `--check` name those that are not up to date."""
    stale = []
    for name in FILES:
        made, text = PACKAGE / f"_{name}.py", synchronous(PACKAGE / f"_async_{name}.py")
        if not made.exists() or made.read_text(encoding="utf-8") != text:
            stale.append(made.name)
            if "--check" not in sys.argv[1:]:
                made.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv[1:]:
        sys.exit(f"{', '.join(stale)}: not what tools/make_sync_face.py makes; run `make format`")


if __name__ == "__main__":
    main()
