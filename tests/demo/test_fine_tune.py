"""What `make demo-finetune` does beside training: embeddings in order, made once; pictures of the loss."""

from __future__ import annotations

import threading
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from maas_client.fine_tunes import LossCurve
from maas_client.types import TrainingPoint
from reference_server.demo import fine_tune
from reference_server.demo.data import Sentences
from reference_server.runtime.tasks import Batch
from reference_server.runtime.tasks.task import Outputs


class Lengths:
    """A task whose vector of a text is its length; the first chunk is the last to be ready."""

    def __init__(self):
        self.runs, self.second = 0, threading.Event()

    def decode(self, instances, parameters):
        return Batch({"text": [each["text"] for each in instances]}, parameters)

    def predict(self, batch):
        self.runs += 1
        texts = batch.columns["text"]
        if texts[0] == "":
            assert self.second.wait(10)
        else:
            self.second.set()
        vectors = np.array([[len(text)] for text in texts], np.float32)
        return Outputs({"embedding": vectors}, batch.parameters)


@pytest.mark.usefixtures("cache")
def test_embeddings_are_in_order_and_made_once(monkeypatch):
    """Whichever core was quicker."""
    monkeypatch.setattr(fine_tune.os, "cpu_count", lambda: 2)
    sentences = Sentences("lengths", "MIT", tuple("x" * n for n in range(100)), (0, 1) * 50)
    task, said = Lengths(), []
    for _ in range(2):
        rows = fine_tune.embeddings_of(sentences, "sha256:0", task, log=said.append)
        assert rows.ravel().tolist() == list(range(100))
    assert task.runs == 4
    assert said == ["Embedding 100 sentences once ..."]


def test_the_loss_is_drawn_for_light_and_for_dark_pages(tmp_path):
    """Files of their own: well-formed, with the colours of their page."""
    points = [
        TrainingPoint(epoch=n, loss=1 / n, validation_loss=2 / n, learning_rate=0.1) for n in range(1, 4)
    ]
    fine_tune.draw(LossCurve(points), tmp_path / "curves")
    colours = set()
    for theme in ("light", "dark"):
        text = (tmp_path / "curves" / f"loss-{theme}.svg").read_text(encoding="utf-8")
        root = ET.fromstring(text)  # noqa: S314 - made here
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root[0].tag.endswith("rect")
        colours.add(root[0].get("fill"))
        assert "currentColor" not in text
    assert len(colours) == 2
