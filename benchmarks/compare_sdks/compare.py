"""Probe every SDK in processes of their own, and write what was seen: `make compare-sdks`."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from adapters import ADAPTERS
from probes import PROBES
from report import RESULTS, main as write_page

HERE = Path(__file__).parent
PROBE_SECONDS = 60


def observe(sdk: str, probe: str) -> Any:
    """Return what one probe saw of one SDK, with a server of its own."""
    server = subprocess.Popen([sys.executable, HERE / "server.py"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        done = subprocess.run(
            [sys.executable, HERE / "probes.py", sdk, probe, server.stdout.readline().strip()],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
            env={name: value for name, value in os.environ.items() if not name.startswith("MAAS_")},
        )
    except subprocess.TimeoutExpired:
        return {"not measured": f"the probe did not end within {PROBE_SECONDS} s"}
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        told = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return {"not measured": f"the probe failed with {told[:120]}"}
    return json.loads(lines[-1])


def main() -> None:
    """Probe, keep the results, and write the page."""
    seen: dict[str, dict[str, Any]] = {}
    for sdk in ADAPTERS:
        seen[sdk] = {}
        for probe in PROBES:
            seen[sdk][probe] = observe(sdk, probe)
            print(f"{sdk:16} {probe:18} {seen[sdk][probe]}", flush=True)
    results = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "versions": {sdk: importlib.metadata.version(each.package) for sdk, each in ADAPTERS.items()},
        "seen": seen,
    }
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_page()


if __name__ == "__main__":
    main()
