"""The fleet for people."""

from datetime import UTC, datetime

import pytest

from ourvidz.fleet.view import fleet_view, gpu_seconds, watt_hours
from ourvidz.jobs.model import WorkerInfo
from ourvidz.perf.record import Origin, PerformanceRecord


def worker(name, *, host="one", device="cuda:0", size=None, resident=(), state="idle", jobs=()):
    facts = {} if size is None else {"group_size": size}
    return WorkerInfo(
        id=name,
        host=host,
        pid=1,
        device=device,
        state=state,
        started_at=0.0,
        seen_at=0.0,
        models=(),
        resident=dict.fromkeys(resident, 5),
        jobs=jobs,
        facts={**facts, "memory": {"budget_bytes": 100, "weights_bytes": 5}},
    )


def record(job_type="video_fast", *, size=None, device_name=None, **values):
    fields = {
        "total_s": 25.0,
        "phases_s": {"queue_wait": 5.0, "denoise": 16.0, "decode": 4.0},
        "device_s": 20.0,
        **values,
    }
    environment = {} if size is None else {"setup": {"group_size": size}}
    if device_name is not None:
        environment["machine"] = {"device": device_name}
    return PerformanceRecord(
        id="j",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        origin=Origin.LIVE,
        job_type=job_type,
        workload={},
        environment=environment,
        state="resident",
        compile_state="compiled",
        **fields,
    )


def test_nodes_groups_and_who_holds_what():
    view = fleet_view(
        [
            worker("b", size=4, resident=["wan"], state="busy", jobs=("j",)),
            worker("a", resident=["wan", "sdxl"]),
            worker("c", host="two"),
        ],
        [],
        within_s=100.0,
    )
    assert [(node.host, node.num_gpus) for node in view.nodes] == [("one", 5), ("two", 1)]
    assert view.num_gpus == 6
    assert view.resident == {"sdxl": 1, "wan": 2}
    group = view.nodes[0].groups[1]
    assert (group.num_gpus, group.num_jobs, group.budget_bytes) == (4, 1, 100)
    assert (view.utilisation, view.goodput, view.costs) == (0.0, 0.0, ())


def test_shares_of_time_count_every_gpu_of_a_group():
    # Of a batch, phases are whole in each job, and the device's time is the job's own share.
    batched = record("sdxl_image_fast", batched_with=3, device_s=5.0)
    jobs = [record(size=2), record(), batched]
    view = fleet_view([worker("a", size=2), worker("b")], jobs, within_s=50.0)
    assert view.utilisation == pytest.approx((2 * 20 + 20 + 5) / 150)
    assert view.goodput == pytest.approx((2 * 16 + 16 + 16 / 4) / 150)
    empty = fleet_view([], jobs, within_s=50.0)
    assert (empty.utilisation, empty.goodput) == (None, None)


def test_costs_are_means_of_what_succeeded_and_power_may_be_unknown():
    jobs = [
        record(device={"energy_j": 7200.0}),
        record(size=2, device={"energy_j": 3600.0}),
        record(),
        record(is_success=False),
        record("image_fast"),
    ]
    image, video = fleet_view([worker("a")], jobs, within_s=1000.0).costs
    assert (video.num_jobs, video.num_measured) == (3, 2)
    assert video.gpu_s == pytest.approx((20 + 40 + 20) / 3)
    assert video.watt_hours == pytest.approx(2.0)
    assert (image.job_type, image.watt_hours) == ("image_fast", None)


def test_what_turns_shared_is_not_all_of_one_job():
    shared = record(shared_s=10.0, device={"energy_j": 3600.0})  # it ran 10 of 20 s
    assert watt_hours(shared) == pytest.approx(0.5)
    assert gpu_seconds(record(device_s=None)) == pytest.approx(20.0)
    assert gpu_seconds(record(device_s=None, batched_with=1)) == pytest.approx(10.0)


def test_a_processor_is_no_gpu():
    here = worker("a", device="cpu", state="busy")
    slow = record(device_name="cpu")
    alone = fleet_view([here], [slow], within_s=50.0)
    assert (alone.num_gpus, alone.gpus_by_state, alone.gpu_s) == (0, {}, 0.0)
    assert (alone.utilisation, alone.goodput) == (None, None)
    (cost,) = alone.costs
    assert (cost.num_jobs, cost.run_s, cost.gpu_s, cost.watt_hours) == (1, 20.0, None, None)
    both = fleet_view([here, worker("b", size=2)], [slow, record(device_name="cuda")], within_s=50)
    assert (both.num_gpus, both.gpus_by_state) == (2, {"idle": 2})
    assert (both.gpu_s, both.utilisation) == (20.0, pytest.approx(0.2))
    assert both.costs[0].gpu_s == 20.0  # of the one that had a GPU


def test_gpus_are_counted_by_the_state_of_their_worker():
    workers = [
        worker("a", size=4, state="busy"),
        worker("b", state="busy"),
        worker("c", size=2, host="two"),
        worker("d", device="cpu", state="draining", host="two"),
    ]
    view = fleet_view(workers, [], within_s=50.0)
    assert view.gpus_by_state == {"busy": 5, "idle": 2}
    assert [group.worker_id for group in view.groups] == ["a", "b", "d", "c"]
