"""The page that tells what was seen: a pure function of the results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = HERE.parents[1] / "docs" / "comparison.md"
ROWS = (
    ("deadline, body", "", "`timeout=1` against a body of one byte each 0.3 s: the call ends after"),
    ("deadline, headers", "", "the same with the headers"),
    ("repeats, dropped", "", "a POST whose connection breaks, by default, and its idempotency key"),
    ("repeats, 503", "", "a POST answered with 503, by default, and its idempotency key"),
    ("later", "", "`Retry-After: 40` with a timeout of 5 s"),
    ("failures", "refused connection", "nobody listens: what comes out"),
    ("failures", "cut", "the body breaks off"),
    ("failures", "text", "200 with HTML in the place of JSON"),
    ("failures", "shape", "200 with JSON of another shape"),
    ("failures", "gateway", "502 with HTML"),
    ("errors travel", "pickle", "an error survives pickling"),
    ("errors travel", "deepcopy", "and a deep copy"),
    ("request id", "", "an error knows the answer's `X-Request-Id`"),
    ("fork", "", "a forked child uses"),
    ("threads", "", "64 threads and one client"),
    ("secrets", "repr", "the key in the client's `repr`"),
    ("secrets", "log", "in its DEBUG log"),
    ("secrets", "pickle", "in its pickle"),
    ("redirect", "", "a redirect to another host"),
    ("netrc", "", "`~/.netrc` replaces the key"),
    ("notebook", "", "a result shows as more than text in a notebook"),
    ("package", "py.typed", "typed (`py.typed`)"),
    ("package", "fake", "ships a fake for its users' tests"),
    ("package", "faces", "synchronous and asynchronous client"),
    ("imports", "", "importing it, CPU over bare Python"),
    ("calls", "", "CPU of a call, over `requests.Session`"),
)
ABOUT = """# Compared with other SDKs

What client libraries do, as it was observed and not as it is documented: `make compare-sdks` installs
them, points each at a server on loopback that drips, breaks off, redirects or refuses, and writes this
page from what it saw (`benchmarks/compare_sdks/`). Every SDK has its own defaults, except for the
timeout where one is named. "own: X" is an error under the SDK's own root, "foreign: X" one from a
library below it, "no error" a call that seemed to go well.

The calls are a chat completion, an inference or a prediction. Where repeats are counted `maas_client`
makes an API key, since its predictions change nothing and are repeated without an idempotency key. Some
differences are choices: `requests` and `tritonclient` repeat nothing by themselves.
"""


def page(results: dict[str, Any]) -> str:
    """Return the page for the results."""
    names = list(results["versions"])
    head = " | ".join(f"`{name}` {version}" for name, version in results["versions"].items())
    lines = [f"| | {head} |", "|---|" + "---|" * len(names)]
    for probe, part, told in ROWS:
        cells = [cell(results["seen"][name].get(probe), part) for name in names]
        lines.append(f"| {told} | {' | '.join(cells)} |")
    return f"{ABOUT}\n{results['date']}, {results['machine']}.\n\n" + "\n".join(lines) + "\n"


def cell(seen: Any, part: str) -> str:
    """Return what one cell says."""
    if isinstance(seen, dict) and "not measured" not in seen:
        seen = seen.get(part)
    if isinstance(seen, dict):
        return f"not measured: {seen['not measured']}"
    return str(seen).replace("|", "\\|")


def main() -> None:
    """Write the page from the results that are there."""
    PAGE.write_text(page(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
