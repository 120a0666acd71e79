"""Asks the package index which of the installed packages have known vulnerabilities, by pip-audit.

Usage: audit.py

Ends with 1 where one is found. Where the index tells nothing of vulnerabilities, as a mirror in a closed
network may not, nothing was audited: that is said in capitals, and is no failure of the code.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_COMMAND = ["-m", "pip_audit", "--local", "--skip-editable", "--vulnerability-service", "pypi"]
_FORM = ["--format", "json", "--progress-spinner", "off", "--timeout", "15"]
_SECONDS = 600
_LAST_LINES = 3


def main() -> int:
    """Audit, and say what was found and what was not looked at."""
    try:
        result = subprocess.run(
            [sys.executable, *_COMMAND, *_FORM], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return not_audited(f"the index did not answer within {_SECONDS} s")
    try:
        packages = json.loads(result.stdout)["dependencies"]
    except (ValueError, KeyError):
        return not_audited(" ".join(result.stderr.splitlines()[-_LAST_LINES:]) or "pip-audit said nothing")
    return judge(packages)


def judge(packages: list[dict[str, Any]]) -> int:
    """Write what pip-audit found of packages, and return the exit status.

    Args:
        packages: Its `dependencies`: each has `vulns`, or a `skip_reason` where the index tells nothing.
    """
    skipped = [each for each in packages if "skip_reason" in each]
    vulnerable = [each for each in packages if each.get("vulns")]
    for each in vulnerable:
        for vulnerability in each["vulns"]:
            mended = ", ".join(vulnerability["fix_versions"]) or "no version yet"
            sys.stderr.write(f"{each['name']} {each['version']}: {vulnerability['id']}, mended in {mended}\n")
    if vulnerable:
        return 1
    if len(skipped) == len(packages):
        return not_audited(f"the index tells nothing of any of the {len(packages)} packages")
    if skipped:
        names = ", ".join(each["name"] for each in skipped)
        sys.stderr.write(f"NOT AUDITED, as the index tells nothing of them: {names}\n")
    sys.stderr.write(f"{len(packages) - len(skipped)} packages have no known vulnerability\n")
    return 0


def not_audited(why: str) -> int:
    """Say that nothing is known, which is not that all is well."""
    sys.stderr.write(f"NOT AUDITED: {why}; run `make audit` where the package index can be reached\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
