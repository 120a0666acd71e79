"""A fine-tune of a real server that is killed with everything under it."""

from __future__ import annotations

import time

import numpy as np
import psutil
import pytest
import requests

STANDS_BACK = {"MAAS_SERVER_JOB_PROCESSES": "1", "MAAS_SERVER_JOB_NICENESS": "1"}


def rows(count=2000):
    random = np.random.default_rng(0)
    values = random.normal(size=(count, 6))
    targets = np.where(values[:, 0] + random.normal(size=count) > 0, "up", "down").tolist()
    return {"inputs": [dict(zip("abcdef", row, strict=True)) for row in values.tolist()], "targets": targets}


class Caller:
    """Plain requests with a key."""

    def __init__(self, running, key):
        self.url, self.headers = running.url, {"authorization": f"Bearer {key}"}

    def ask(self, name):
        body = {
            "name": name,
            "train": rows(),
            "optimizer": "momentum",
            "epochs": 300,
            "batch_size": 2,
            "early_stopping": False,
        }
        answer = requests.post(f"{self.url}/v1/fine-tunes", json=body, headers=self.headers, timeout=30)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def job(self, job_id):
        found = requests.get(f"{self.url}/v1/jobs/{job_id}", headers=self.headers, timeout=30)
        assert found.status_code == 200, found.text
        return found.json()

    def until(self, job_id, condition, seconds=120):
        end = time.monotonic() + seconds
        while not condition(found := self.job(job_id)):
            assert time.monotonic() < end, found
            time.sleep(0.05)
        return found


def has_learnt(job):
    assert job["state"] in ("queued", "running"), job
    return len((job["interim"] or {}).get("curve", [])) > 60


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_fine_tune_outlives_a_server_that_is_killed(serve):
    """Kill -9 in the middle of its epochs: it goes on, to the very digest of one in peace."""
    with serve(**STANDS_BACK) as running:
        client = running.account("ada")
        key = client.keys.create("k", scopes=["jobs", "models:write"]).secret.get_secret_value()
        caller = Caller(running, key)
        whole = caller.until(caller.ask("whole"), lambda job: job["state"] == "succeeded")
        killed = caller.ask("killed")
        caller.until(killed, has_learnt)
        family = running.family()
        # The job's process first: one whose supervisor has died hands its job back in peace.
        for each in [*family, running.process]:
            each.kill()
        running.process.wait()
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not alive
        (running.folder / "ready.json").unlink()
    with serve(**STANDS_BACK) as running:
        caller = Caller(running, key)
        found = caller.until(killed, lambda job: job["state"] not in ("queued", "running"))
        assert found["state"] == "succeeded", found["error"]
        assert found["attempts"] == 2
        assert found["result"]["digest"] == whole["result"]["digest"]
        assert found["result"]["curve"] == whole["result"]["curve"]
        log = requests.get(f"{running.url}/v1/jobs/{killed}/log", headers=caller.headers, timeout=30).json()[
            "data"
        ]
        assert any(line["text"].startswith("goes on after epoch ") for line in log)
