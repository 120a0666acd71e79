import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("survive.py")
# Each kill is a start of a server; a machine with other work takes its time.
SECONDS = 280


@pytest.mark.timeout(SECONDS + 20)
def test_a_killed_server_has_lost_nothing():
    """A short run of `make survive`: clients, kills, and everything that was acknowledged is there."""
    command = [sys.executable, str(SCRIPT), "--kills", "4", "--seed", "20261127", "--clients", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            output, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # so that it ends its server
            raise
    assert process.returncode == 0, output
    assert "4 of 4 kills survived" in output
