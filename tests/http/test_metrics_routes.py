"""What is counted over HTTP: for operators everything, for others what they may see."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reference_server.registry import accounts

PASSWORD = "correct horse battery"
PROMISED = {
    "maas_request_duration_seconds": {"method", "route", "status"},
    "maas_inference_duration_seconds": {"model", "version", "device", "stage"},
    "maas_inference_rows": {"model", "version", "device"},
    "maas_inference_failures": {"model", "version", "device"},
    "maas_run_rows": {"model", "version", "device"},
    "maas_model_load_duration_seconds": {"model", "version", "device"},
    "maas_model_load_failures": {"model", "version"},
    "maas_model_evictions": {"model", "version", "device"},
    "maas_models_loaded": set(),
    "maas_models_loading": set(),
    "maas_models_memory_bytes": set(),
    "maas_models_memory_budget_bytes": set(),
    "maas_lanes": set(),
    "maas_lanes_busy": set(),
    "maas_queue_length": set(),
    "process_cpu_seconds": set(),
    "process_resident_memory_bytes": set(),
}


@pytest.fixture(scope="module")
def operator(shared):
    """The header of an operator's session."""
    services = shared.services
    accounts.create(
        services.database,
        email="boss@example.com",
        password_hash=services.passwords.hash(PASSWORD),
        name="boss",
        role="operator",
        policy_version=services.settings.policy_version,
    )
    session = shared.post("/v1/sessions", {"email": "boss@example.com", "password": PASSWORD})
    return {"authorization": f"Bearer {session.json['token']}"}


@pytest.fixture
def scrape(shared, operator):
    def read():
        answer = shared.through_front("GET", "/metrics", headers=operator)
        assert answer.status == 200
        families = text_string_to_metric_families(answer.body.decode())
        return {family.name: family.samples for family in families}

    return read


@pytest.fixture
def predict(shared):
    def call(value):
        headers = {**shared.ada, "content-type": "application/json"}
        path = "/v1/models/words/predict"
        return shared.through_front("POST", path, headers=headers, body=json.dumps(value).encode())

    return call


def test_every_promised_metric_is_there_with_its_labels(scrape, predict):
    """What the guide to operations names; `le` and the like aside."""
    assert predict({"text": "good"}).status == 200
    found = scrape()
    assert PROMISED.keys() <= found.keys()
    for name, labels in PROMISED.items():
        for sample in found[name]:
            assert set(sample.labels) - {"le"} == labels, name


def test_values_are_what_happened(scrape, predict):
    """Rows, runs by their rows, loads, memory, lanes."""
    assert predict({"instances": [{"text": "good"}] * 5}).status == 200
    before = values(scrape())
    assert predict({"instances": [{"text": "good"}] * 5}).status == 200
    assert predict({"instances": [{"text": 7}]}).status == 422
    after = values(scrape())
    assert after["maas_inference_rows_total"] - before["maas_inference_rows_total"] == 5
    assert after["maas_run_rows_sum"] - before["maas_run_rows_sum"] == 5
    assert after["maas_run_rows_count"] - before["maas_run_rows_count"] == 1
    assert after["maas_model_load_duration_seconds_count"] == 1
    assert after["maas_models_loaded"] == 1
    assert 0 < after["maas_models_memory_bytes"] < after["maas_models_memory_budget_bytes"]
    assert (after["maas_lanes"], after["maas_lanes_busy"], after["maas_queue_length"]) == (2, 0, 0)


def values(found):
    """Return the sum of each series' samples by name, buckets aside."""
    sums = {}
    for samples in found.values():
        for sample in samples:
            if not sample.name.endswith("_bucket"):
                sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums


def test_metrics_are_for_operators_alone(shared):
    """They name everybody's models."""
    assert shared.through_flask("GET", "/metrics").status == 401
    answer = shared.through_flask("GET", "/metrics", headers=shared.ada)
    assert (answer.status, answer.json["error"]["code"]) == (403, "operator_required")


def test_statistics_are_for_those_who_see_the_model(shared, text_package):
    """A private model's are its owner's; of all statistics one gets those of what one sees."""
    eve = shared.register("eve-of-metrics")
    assert shared.publish(shared.ada, "hidden", text_package).status == 201
    for header in (shared.ada, eve):
        body = json.dumps({"text": "good"}).encode()
        headers = {**header, "content-type": "application/json"}
        shared.through_flask("POST", "/v1/models/ada~hidden/predict", headers=headers, body=body)
    assert shared.through_flask("GET", "/v2/models/ada~hidden/stats", headers=eve).status == 404
    (own,) = shared.through_flask("GET", "/v2/models/ada~hidden/stats", headers=shared.ada).json[
        "model_stats"
    ]
    assert own["inference_count"] == 1
    seen = shared.through_flask("GET", "/v2/models/stats", headers=eve).json["model_stats"]
    assert "hidden" not in {each["name"] for each in seen}
