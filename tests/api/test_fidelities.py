"""What a service offers of each model: confirmed here, or with the reason and the command."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ourvidz.checkpoints.confirmations import (
    Confirmation,
    Figure,
    subject_of,
    write_confirmation,
)
from ourvidz.core.request import Fidelity
from tests.api.conftest import client_of

HIGH = Fidelity.HIGH
PROMPT = {"prompt": "a red circle moving left"}


@pytest.fixture
def confirm(deps):
    """Keep a verdict about the service's own video model."""

    def keep(**changes):
        model = deps.catalogue.model("pocket-video")
        write_confirmation(
            deps.settings.data_dir,
            replace(
                Confirmation(
                    subject=subject_of(deps.settings, model, HIGH),
                    fidelity=HIGH,
                    is_held=True,
                    is_random=False,
                    created_at=datetime(2026, 1, 2, tzinfo=UTC),
                    weights="0" * 64,
                    revision="",
                    plan="4 prompts",
                    figures=(
                        Figure(metric="guided_error_worst", value=0.01, limit=0.05),
                        Figure(metric="ssim_mean", value=0.99, limit=None),
                    ),
                ),
                **changes,
            ),
        )

    return keep


def model_of(client):
    return client.get("/api/v1/models/pocket-video").json()


def high_of(client):
    (found,) = (
        each for each in model_of(client)["fidelity_verdicts"] if each["fidelity"] == "high"
    )
    return found


def test_an_unconfirmed_fidelity_is_told_with_the_command(client):
    assert "high" not in model_of(client)["fidelities"]
    assert model_of(client)["default_fidelity"] == "exact"
    assert high_of(client) == {
        "fidelity": "high",
        "is_offered": False,
        "reason": "nobody has confirmed it here",
        "command": "ourvidz bench confirm pocket-video --fidelity high",
        "verdict": None,
    }
    answer = client.post("/api/v1/jobs", json=PROMPT | {"fidelity": "high"})
    assert answer.status_code in (400, 422)
    error = answer.json()["error"]
    assert error["param"] == "fidelity"
    assert "ourvidz bench confirm pocket-video --fidelity high" in error["hint"]


def test_a_confirmed_one_is_offered_with_its_verdict(client, confirm):
    confirm()
    assert "high" in model_of(client)["fidelities"]
    found = high_of(client)
    assert (found["is_offered"], found["reason"], found["command"]) == (True, None, None)
    assert found["verdict"]["created_at"] == "2026-01-02T00:00:00+00:00"
    assert found["verdict"]["device"]
    assert found["verdict"]["figures"][0] == {
        "metric": "guided_error_worst",
        "value": 0.01,
        "limit": 0.05,
        "is_least": False,
        "unit": "",
        "is_held": True,
    }
    assert found["verdict"]["figures"][1]["limit"] is None
    made = client.post("/api/v1/jobs", json=PROMPT | {"fidelity": "high"})
    assert made.status_code == 201
    assert client.post("/api/v1/jobs", json=PROMPT).status_code == 201


def test_one_that_is_about_something_else_is_refused_with_the_reason(client, confirm, deps):
    model = deps.catalogue.model("pocket-video")
    subject = replace(subject_of(deps.settings, model, HIGH), device="NVIDIA X")
    confirm(subject=subject)
    assert "confirmed on NVIDIA X" in high_of(client)["reason"]
    assert high_of(client)["verdict"]["is_held"]
    answer = client.post("/api/v1/jobs", json=PROMPT | {"fidelity": "high"})
    assert "confirmed on NVIDIA X" in answer.json()["error"]["message"]


def test_the_operators_default_shows_in_jobs_and_forms(make_app_deps, settings, confirm):
    chosen = settings.model_copy(update={"default_fidelity": {"pocket-video": HIGH}})
    client = client_of(make_app_deps(chosen))
    assert model_of(client)["default_fidelity"] == "exact"  # not confirmed yet
    confirm()
    assert model_of(client)["default_fidelity"] == "high"
    job = client.post("/api/v1/jobs", json=PROMPT).json()
    assert client.get(f"/api/v1/jobs/{job['id']}").json()["fidelity"] == "high"
    (form,) = (
        job for job in client.get("/api/v1/catalog").json()["job_types"]
        if job["name"] == "video_fast"
    )  # fmt: skip
    assert form["json_schema"]["properties"]["fidelity"]["default"] == "high"
