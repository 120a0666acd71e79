"""axe-core, the checker of accessibility: from npm's registry for the tests, pinned and held to its hash."""

import base64
import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

VERSION = "4.10.3"
# `npm view axe-core@4.10.3 dist.integrity`.
SHA512 = "Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg=="
CACHE = Path(__file__).parents[3] / "build" / "axe"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
_RUN = """rules => axe.run(document, {resultTypes: ["violations"], runOnly: {type: "tag", values: rules}})
    .then(found => found.violations.map(
        each => `${each.id}: ${each.help}: ${each.nodes.map(node => node.html).join(" | ")}`))"""


class AxeMissingError(Exception):
    """It is not here and cannot be fetched."""


def source():
    """Return the script's text, from the cache or by npm.

    Raises:
        AxeMissingError: Saying why it is not there.
    """
    archive = CACHE / f"axe-core-{VERSION}.tgz"
    if not archive.exists():
        _fetch()
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert digest == SHA512, "axe-core is not what it was when its hash was written down"
    with tarfile.open(archive) as members:
        return members.extractfile("package/axe.min.js").read().decode()


def violations(page):
    """Return what axe finds wrong with a page, in words."""
    return page.evaluate(_RUN, RULES)


def _fetch():
    npm = shutil.which("npm")
    if npm is None:
        raise AxeMissingError("needs axe-core, and there is no npm to fetch it with")
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", f"axe-core@{VERSION}", "--silent"]
    done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise AxeMissingError(f"needs axe-core, and npm cannot fetch it: {done.stderr.strip()[-300:]}")
