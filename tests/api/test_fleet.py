"""The fleet over HTTP and in metrics: what is there, how it was used, and who may know."""

import pytest

from ourvidz.api.fleet import ended_since
from ourvidz.api.keys import create_key
from ourvidz.core.clock import SystemClock
from ourvidz.perf.kept import Kept, KeptRecord
from ourvidz.perf.record import Origin
from tests.api.records import put_run
from tests.api.test_metrics import JOB_TYPE, samples_of
from tests.api.test_system import put_worker
from tests.perf.simulated import BEGIN, make_record

PATH = "/api/v1/fleet"
GPU = {"utilisation": 0.9, "memory_used_bytes": 5, "power_w": 600.0, "temperature_c": None}
ON_CPU = {"environment": {"machine": {"device": "cpu"}}}
ON_TWO = {
    "environment": {"machine": {"device": "cuda"}, "setup": {"group_size": 2}},
    "device": {"energy_j": 3600.0},
    "phases_s": {"denoise": 12.0, "decode": 4.0},
    "total_s": 16.0,
    "device_s": 16.0,
}


@pytest.fixture
def fleet(deps):
    """A group of two GPUs and a single on one machine, a processor on another; two jobs ended."""
    put_worker(
        deps,
        id="pair",
        host="one",
        device="cuda:0",
        state="busy",
        facts={"group_size": 2, "gpu": GPU, "memory": {"budget_bytes": 100, "weights_bytes": 7}},
    )
    put_worker(deps, id="single", host="one", device="cuda:2", jobs=())
    put_worker(deps, id="processor", host="two", device="cpu", jobs=(), resident={})
    put_run(deps.store, make_record(0), more=ON_TWO)
    put_run(deps.store, make_record(1), more=ON_CPU)


def header_for(deps, *scopes, tenant="default"):
    _, secret = create_key(
        store=deps.store, clock=SystemClock(), name="ada", tenant=tenant, scopes=scopes
    )
    return {"Authorization": f"Bearer {secret}"}


def test_nodes_and_groups_with_what_they_hold_and_do(client, fleet):
    found = client.get(PATH).json()
    assert (found["num_groups"], found["num_gpus"]) == (3, 3)
    assert found["gpus_by_state"] == {"busy": 2, "idle": 1}
    assert found["resident"] == {"pocket-video": 2}
    one, two = found["nodes"]
    assert (one["host"], one["num_gpus"], two["host"], two["num_gpus"]) == ("one", 3, "two", 0)
    pair, single = one["groups"]
    assert pair == {
        "worker_id": "pair",
        "device": "cuda:0",
        "state": "busy",
        "num_gpus": 2,
        "num_jobs": 1,
        "resident": {"pocket-video": 1000},
        "budget_bytes": 100,
        "weights_bytes": 7,
        "gpu": GPU,
    }
    assert (single["num_gpus"], single["budget_bytes"], single["gpu"]) == (1, None, None)


def test_use_is_of_the_window_and_of_gpus_alone(client, fleet):
    use = client.get(PATH, params={"window_s": 100}).json()["use"]
    assert use["window_s"] == 100
    assert use["gpu_s"] == pytest.approx(32.0)
    assert use["utilisation"] == pytest.approx(32 / 300)
    assert use["goodput"] == pytest.approx(24 / 300)
    (cost,) = use["costs"]
    assert (cost["job_type"], cost["num_jobs"], cost["num_measured"]) == (JOB_TYPE, 2, 1)
    assert (cost["gpu_s"], cost["watt_hours"]) == (pytest.approx(32.0), pytest.approx(2.0))
    hour = client.get(PATH).json()["use"]
    assert hour["utilisation"] == pytest.approx(32 / (3 * 3600))


def test_without_a_gpu_there_is_nothing_to_be_busy(client, deps):
    put_worker(deps, jobs=())
    put_run(deps.store, make_record(0), more=ON_CPU)
    found = client.get(PATH).json()
    assert (found["num_groups"], found["num_gpus"], found["gpus_by_state"]) == (1, 0, {})
    assert (found["use"]["utilisation"], found["use"]["goodput"]) == (None, None)
    (cost,) = found["use"]["costs"]
    assert cost["run_s"] > 0
    assert (cost["gpu_s"], cost["watt_hours"]) == (None, None)


def test_nobody_works(client):
    found = client.get(PATH).json()
    assert (found["nodes"], found["resident"], found["use"]["costs"]) == ([], {}, [])


def test_figures_of_the_installation_need_their_scope(client, deps, fleet):
    reader = client.get(PATH, headers=header_for(deps, "jobs:read", tenant="a"))
    assert reader.json()["use"] is None
    assert reader.json()["num_gpus"] == 3
    both = client.get(PATH, headers=header_for(deps, "jobs:read", "metrics:read", tenant="a"))
    assert both.json()["use"]["gpu_s"] == pytest.approx(32.0)
    assert client.get(PATH, headers=header_for(deps, "metrics:read")).status_code == 403
    assert client.get(PATH).status_code == 401


@pytest.mark.parametrize("window_s", ["59", "nan", "inf", "2678401", "x"])
def test_a_window_has_its_bounds(client, window_s):
    answer = client.get(PATH, params={"window_s": window_s})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "window_s"


def test_the_document_shows_an_answer(client):
    document = client.get("/openapi.json").json()
    (example,) = document["components"]["schemas"]["FleetAnswer"]["examples"]
    assert set(example) == set(client.get(PATH).json())


def test_records_count_by_the_end_of_their_jobs():
    records = [make_record(index) for index in range(5)]  # a minute apart
    records[1], records[2] = records[2], records[1]  # committed in another order
    records.append(make_record(5, origin=Origin.IMPORTED))
    kept = Kept(
        epoch=0,
        newest=6,
        records=[KeptRecord(seq=seq, record=one) for seq, one in enumerate(records, start=1)],
    )
    since_s = BEGIN.timestamp() + 2 * 60
    found = {record.id for record in ended_since(kept, since_s)}
    assert found == {"job_0002", "job_0003", "job_0004"}


def test_metrics_tell_groups_gpus_and_what_they_gave(client, fleet):
    found = samples_of(client)
    assert found["ourvidz_fleet_nodes",] == 2
    groups = {size: found["ourvidz_fleet_groups", ("gpus", size)] for size in "012"}
    assert groups == {"0": 1, "1": 1, "2": 1}
    states = {"starting": 0, "idle": 1, "busy": 2, "draining": 0}
    for state, number in states.items():
        assert found["ourvidz_fleet_gpus", ("state", state)] == number
    assert found["ourvidz_fleet_utilisation_ratio",] == pytest.approx(32 / (3 * 3600))
    assert found["ourvidz_fleet_goodput_ratio",] == pytest.approx(24 / (3 * 3600))
    of = ("job_type", JOB_TYPE)
    assert found["ourvidz_gpu_seconds_total", of] == pytest.approx(32.0)
    assert found["ourvidz_gpu_denoise_seconds_total", of] == pytest.approx(24.0)
    assert found["ourvidz_gpu_energy_joules_total", of] == pytest.approx(7200.0)
    pair = ("worker", "pair")
    assert found["ourvidz_gpu_utilisation_ratio", pair] == pytest.approx(0.9)
    assert found["ourvidz_gpu_power_watts", pair] == 600.0
    assert ("ourvidz_gpu_temperature_celsius", pair) not in found  # its driver does not tell


def test_metrics_of_processors_claim_no_gpu(client, deps):
    put_worker(deps)
    put_run(deps.store, make_record(0), more=ON_CPU)
    found = samples_of(client)
    assert found["ourvidz_fleet_groups", ("gpus", "0")] == 1
    assert found["ourvidz_fleet_gpus", ("state", "idle")] == 0
    names = {key[0] for key in found}
    assert not {"ourvidz_fleet_goodput_ratio", "ourvidz_gpu_seconds_total"} & names
