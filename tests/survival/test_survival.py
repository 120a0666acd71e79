import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("survive.py")
# Each kill is a start of a server; a machine with other work takes its time.
SECONDS = 300


@pytest.mark.timeout(SECONDS)
def test_a_killed_server_has_lost_nothing():
    """A short run of `make survive`: clients, kills, and everything that was acknowledged is there."""
    command = [sys.executable, str(SCRIPT), "--kills", "4", "--seed", "20261127", "--clients", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS - 10, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 kills survived" in done.stdout
