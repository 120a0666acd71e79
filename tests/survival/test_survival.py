import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("survive.py")


@pytest.mark.parametrize("options", [("--workers", "2")])
def test_a_killed_server_has_lost_nothing(options):
    """A short run of `make survive`: clients, kills, and everything that was acknowledged is there."""
    command = [sys.executable, str(SCRIPT), "--kills", "5", "--seed", "20261127", "--clients", "3", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 of 5 kills survived" in done.stdout
