"""Performance over HTTP: the figures of the command line, decisions with authors, live records."""

import itertools
import json

import numpy as np
import pytest

from ourvidz.api.keys import create_key
from ourvidz.api.performance import PerformanceDesk
from ourvidz.core.clock import SystemClock
from ourvidz.perf import baselines as baselines_of
from ourvidz.perf import survey as survey_of
from ourvidz.perf import trend as trend_of
from ourvidz.perf.decisions import Verb, to_json
from ourvidz.perf.decisions import decide as decided
from ourvidz.perf.kept import KeptRecords
from tests.api.conftest import parse
from tests.api.records import fill, put_run
from tests.clocks import ManualClock
from tests.jobs.factory import make_request
from tests.perf.simulated import BEGIN, environment, make_record, make_runs
from tests.perf.test_decisions import FINDING

JOB_TYPE = "sdxl_image_fast"  # what the factory's jobs are
ROOT = "/api/v1/performance"
DECISION = decided(FINDING, Verb.IGNORE, author="ada", note="x", decision_id="dec_1", now=BEGIN)


@pytest.fixture
def stepped(deps):
    """Twelve runs, and twelve slower ones with another torch."""
    return fill(
        deps.store,
        [
            *make_runs(12, seed=1),
            *make_runs(12, seed=2, slower={"denoise": 1.2}, environment=environment(torch="2.12")),
        ],
    )


def row_of(client):
    rows = client.get(f"{ROOT}/matrix").json()["rows"]
    return next(row for row in rows if row["job_type"] == JOB_TYPE)


def change_in(client):
    (series,) = client.get(f"{ROOT}/trends", params={"history": False}).json()["data"]
    (change,) = series["changes"]
    return change


def header_for(deps, *scopes, tenant="default", name="ada"):
    key, secret = create_key(
        store=deps.store, clock=SystemClock(), name=name, tenant=tenant, scopes=scopes
    )
    return key, {"Authorization": f"Bearer {secret}"}


def test_an_empty_installation_has_every_job_type_pending(client):
    found = client.get(f"{ROOT}/matrix").json()
    assert (found["num_job_types"], found["num_established"], found["newest"]) == (10, 0, 0)
    assert {row["status"] for row in found["rows"]} == {"pending"}
    assert client.get(f"{ROOT}/records").json() == {"data": [], "next_cursor": None}
    alarms = client.get(f"{ROOT}/alarms").json()
    assert (alarms["alarms"], alarms["watched"]) == ([], [])


def test_api_and_command_line_say_the_same(client, deps, stepped, monkeypatch, capsys):
    from ourvidz.cli.perf_verdicts_view import show_group, show_job, show_matrix, show_trend

    monkeypatch.setenv("OURVIDZ_DATA_DIR", str(deps.settings.data_dir))

    def printed(show, *arguments, **options):
        show(*arguments, **options, json=True)
        return json.loads(capsys.readouterr().out.strip().splitlines()[-1])

    of_api = client.get(f"{ROOT}/matrix").json()
    assert of_api.pop("newest") == 24
    assert of_api == printed(show_matrix, None, history=True)

    options = {"preset": None, "state": None, "measures": None, "notes": None, "history": True}
    of_cli = printed(show_trend, None, **options)
    of_api = client.get(f"{ROOT}/trends", params={"limit": 200, "points": 2000}).json()
    assert [
        {name: value for name, value in series.items() if name != "num_points"}
        for series in of_api["data"]
    ] == of_cli["series"]
    alarms = client.get(f"{ROOT}/alarms").json()
    assert (alarms["alarms"], alarms["watched"]) == (of_cli["alarms"], of_cli["watched"])
    assert alarms["watched"] or alarms["alarms"] or of_cli["series"][0]["changes"]

    group = row_of(client)["group"]
    assert client.get(f"{ROOT}/baselines/{group}").json() == printed(show_group, group)

    params = {"against": stepped[0]}
    of_api = client.get(f"{ROOT}/jobs/{stepped[12]}", params=params).json()
    assert [(each["phase"], each["is_background"]) for each in of_api.pop("spans")] == [
        ("denoise", False),
        ("save", True),
    ]
    assert of_api.pop("device_series") is None
    assert of_api == printed(show_job, stepped[12], against=stepped[0])


def test_a_matrix_is_computed_once_for_each_new_record(client, deps, stepped, monkeypatch):
    made = []
    matrix = survey_of.matrix

    def counted(*arguments, **options):
        made.append(options)
        return matrix(*arguments, **options)

    monkeypatch.setattr(survey_of, "matrix", counted)
    first = client.get(f"{ROOT}/matrix").json()
    assert client.get(f"{ROOT}/matrix").json() == first
    assert len(made) == 1
    put_run(deps.store, make_record(30))
    later = client.get(f"{ROOT}/matrix").json()
    assert later["newest"] == first["newest"] + 1
    assert len(made) == 2
    client.get(f"{ROOT}/matrix", params={"job_type": JOB_TYPE, "history": False})
    assert len(made) == 3
    assert [row["job_type"] for row in later["rows"] if row["n"]] == [JOB_TYPE]


def test_a_new_record_costs_its_own_group_alone(client, deps, stepped, monkeypatch):
    other = make_request(job_type="sdxl_image_high")
    for run in make_runs(12, seed=3, first=40):
        put_run(deps.store, run, request=other)
    client.get(f"{ROOT}/trends")
    client.get(f"{ROOT}/matrix")
    searched, summarised = [], []
    change_points, summarize = trend_of.change_points, baselines_of.summarize
    monkeypatch.setattr(
        trend_of,
        "change_points",
        lambda values, **options: searched.append(len(values)) or change_points(values, **options),
    )
    monkeypatch.setattr(
        baselines_of,
        "summarize",
        lambda values: summarised.append(len(values)) or summarize(values),
    )
    client.get(f"{ROOT}/trends")
    assert searched == []
    put_run(deps.store, make_record(60, rng=np.random.default_rng(1)), request=other)
    client.get(f"{ROOT}/matrix")
    client.get(f"{ROOT}/trends")
    client.get(f"{ROOT}/trends", params={"measure": "total"})
    assert set(searched) == {13}  # the other's 24 were not looked at again
    assert summarised == [13]


def test_a_ledger_has_what_the_gpu_did_to_be_drawn(client, deps):
    series = {"at_s": [0.1, 0.3], "utilisation": [0.5, None], "power_w": [610.5, 600.0]}
    told = put_run(deps.store, make_record(0), more={"device_series": series})
    silent = put_run(deps.store, make_record(1))
    found = client.get(f"{ROOT}/jobs/{told.id}").json()
    assert found["device_series"] == series | {"memory_used_bytes": []}
    assert client.get(f"{ROOT}/jobs/{silent.id}").json()["device_series"] is None


def test_a_dear_answer_is_given_again_for_a_while_and_a_decision_shows_at_once(deps, tmp_path):
    clock = ManualClock()
    store = deps.store
    desk = PerformanceDesk(store, KeptRecords(store), data_dir=tmp_path, clock=clock)

    def asked(cost_s, **options):
        def make(seen):
            clock.advance(cost_s)
            return seen.kept.newest

        return desk.answer("matrix", make, **options)

    assert asked(6.0) == 0
    put_run(store, make_record(0))
    clock.advance(20.0)
    assert asked(6.0) == 0
    clock.advance(36.0)
    assert asked(6.0) == 1
    put_run(store, make_record(1))
    assert asked(6.0) == 1
    assert asked(6.0, is_dated=False) == 2
    put_run(store, make_record(2))
    store.add_decision(to_json(DECISION))
    assert asked(0.1) == 3
    put_run(store, make_record(3))
    assert asked(0.1) == 4  # a cheap one is always new


def test_decisions_carry_the_keys_name_and_can_be_taken_back(client, deps, stepped):
    key, ada = header_for(deps, "metrics:read", "performance:write")
    change = client.get(f"{ROOT}/trends", params={"history": False}, headers=ada).json()
    change = change["data"][0]["changes"][0]["id"]
    body = {"verb": "accept", "target": change[:8], "note": "needed"}
    made = client.post(f"{ROOT}/decisions", json=body, headers=ada)
    assert made.status_code == 201
    assert made.json()["author"] == f"ada ({key.id})"
    assert made.json()["finding"]["from_record"] == stepped[12]

    def row():
        rows = client.get(f"{ROOT}/matrix", headers=ada).json()["rows"]
        return next(row for row in rows if row["job_type"] == JOB_TYPE)

    assert (row()["n"], row()["trend"]) == (12, "stable")
    assert client.post(f"{ROOT}/decisions", json=body, headers=ada).status_code == 409
    path = f"{ROOT}/decisions/{made.json()['id']}/undo"
    undone = client.post(path, json={"note": "wrong"}, headers=ada)
    assert undone.json()["undoes"] == made.json()["id"]
    assert row()["n"] == 24
    listed = client.get(f"{ROOT}/decisions", params={"limit": 1}, headers=ada).json()
    assert [each["verb"] for each in listed["data"]] == ["undo"]
    rest = client.get(
        f"{ROOT}/decisions", params={"cursor": listed["next_cursor"]}, headers=ada
    ).json()
    assert [(each["verb"], each["holds"]) for each in rest["data"]] == [("accept", False)]
    assert client.post(path, json={"note": "again"}, headers=ada).status_code == 409


def test_a_local_author_without_keys(client, stepped):
    change = change_in(client)["id"]
    for verb in ("investigate", "ignore"):
        body = {"verb": verb, "target": change, "note": "a fan"}
        assert client.post(f"{ROOT}/decisions", json=body).json()["author"] == "local"
        decision = change_in(client)["decision"]
        assert (decision["verb"], decision["note"]) == (verb, "a fan")


def test_reading_needs_metrics_and_deciding_a_scope_of_its_own(client, deps):
    _, reader = header_for(deps, "metrics:read")
    _, jobs = header_for(deps, "jobs:read", "jobs:write")
    assert client.get(f"{ROOT}/matrix", headers=reader).status_code == 200
    assert client.get(f"{ROOT}/matrix", headers=jobs).status_code == 403
    body = {"verb": "ignore", "target": "c-1", "note": "x"}
    assert client.post(f"{ROOT}/decisions", json=body, headers=reader).status_code == 403


def test_one_job_is_shown_to_its_own_tenant_and_a_deleted_one_to_operators(client, deps):
    ids = fill(deps.store, make_runs(2))
    _, other = header_for(deps, "metrics:read", tenant="two")
    _, own = header_for(deps, "metrics:read")
    _, operator = header_for(deps, "admin", tenant="two")
    path = f"{ROOT}/jobs/{ids[0]}"
    codes = [client.get(path, headers=who).status_code for who in (other, own, operator)]
    assert codes == [404, 200, 200]
    deps.store.delete_job(ids[0])
    codes = [client.get(path, headers=who).status_code for who in (other, own, operator)]
    assert codes == [404, 404, 200]
    assert client.get(path, headers=operator).json()["spans"] == []
    other_path = f"{ROOT}/jobs/{ids[1]}"
    params = {"against": ids[0]}
    assert client.get(other_path, params=params, headers=own).status_code == 404


def test_lists_come_in_pages_without_gaps(client, deps):
    ids = fill(deps.store, make_runs(7, seed=5))
    for path, field in ((f"{ROOT}/records", "job_id"), (f"{ROOT}/baselines", "id")):
        whole = [each[field] for each in client.get(path).json()["data"]]
        found, cursor = [], None
        for _ in range(40):
            params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = client.get(path, params=params).json()
            found += [each[field] for each in page["data"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == whole
        assert client.get(path, params={"cursor": "!"}).status_code == 400
    assert [each["job_id"] for each in client.get(f"{ROOT}/records").json()["data"]] == ids[::-1]


def test_a_record_tells_how_long_its_job_waited(client, deps):
    phases_s = {"queue_wait": 7200.0, "denoise": 4.0, "unattributed": 0.5}
    runs = [
        make_record(0, phases_s=phases_s, total_s=7204.5),
        make_record(1, phases_s={"denoise": 4.0}, total_s=4.0),
        make_record(2, phases_s={"denoise": 4.0}, total_s=None),
    ]
    fill(deps.store, runs)
    found = client.get(f"{ROOT}/records").json()["data"][::-1]
    assert [(each["run_s"], each["queue_wait_s"]) for each in found] == [
        (4.5, 7200.0),
        (4.0, 0.0),
        (None, None),
    ]


REFUSED = {
    "/matrix?job_type=none": 400,
    "/baselines/g-none": 404,
    "/trends?measure=none": 400,
    "/trends?state=none": 400,
    "/jobs/job_none": 404,
    "/claims?history=none": 400,
    "/goals?history=none": 400,
    "/records?limit=0": 400,
}


def test_what_is_not_there_is_refused(client, deps):
    put_run(deps.store, make_record(0))
    for path, status in REFUSED.items():
        answer = client.get(f"{ROOT}{path}")
        assert answer.status_code == status, path
        assert answer.json()["error"]["message"]


def test_jobs_that_cannot_be_compared_are_refused_with_the_difference(client, deps):
    one, two = fill(deps.store, [make_record(0), make_record(1, cold=True)])
    answer = client.get(f"{ROOT}/jobs/{two}", params={"against": one})
    assert answer.status_code == 400
    assert "cold" in answer.json()["error"]["message"]


def test_claims_and_histories(client):
    (shipped,) = client.get(f"{ROOT}/histories").json()["data"]
    found = client.get(f"{ROOT}/claims", params={"history": shipped["name"]}).json()
    assert len(found["claims"]) == shipped["num_claims"] == sum(found["verdicts"].values())
    assert found["verdicts"]["wrong"] > 0


def test_goals_are_kept_and_measured(client, deps):
    fill(deps.store, make_runs(10, workload={"preset": "baseline", "profile": "pocket"}))
    body = {"job_type": JOB_TYPE, "seconds": 1.0, "by": "2030-01-31", "text": "as fast as that"}
    made = client.post(f"{ROOT}/goals", json=body)
    assert made.status_code == 201
    goal = made.json()
    assert (goal["source"], goal["due"], goal["after"]["n"]) == ("api", "2030-01-31", 5)
    listed = client.get(f"{ROOT}/goals").json()
    assert listed["own_goals"] == [goal]
    assert len(listed["roadmap"]) == 9
    assert client.delete(f"{ROOT}/goals/{goal['id']}").json()["is_removed"] is True
    assert client.delete(f"{ROOT}/goals/{goal['id']}").status_code == 404
    assert client.get(f"{ROOT}/goals").json()["own_goals"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"job_type": JOB_TYPE},
        {"job_type": JOB_TYPE, "seconds": 1.0, "success_percent": 99.0},
        {"job_type": "none", "seconds": 1.0},
        {"job_type": JOB_TYPE, "seconds": -1.0},
    ],
)
def test_a_goal_states_one_target_of_a_known_job_type(client, body):
    assert client.post(f"{ROOT}/goals", json=body).status_code == 400


def test_new_records_are_told_with_their_score(client, deps):
    ids = fill(deps.store, make_runs(12, seed=1))
    first = client.get(f"{ROOT}/events", params={"after": 0}).json()
    assert [event["record"]["job_id"] for event in first["data"]] == ids
    assert first["data"][0]["score"] is None
    slow = fill(deps.store, make_runs(2, seed=2, slower={"denoise": 1.5}))
    rest = client.get(f"{ROOT}/events", params={"after": first["last_seq"]}).json()
    assert [event["record"]["job_id"] for event in rest["data"]] == slow
    assert {event["score"] for event in rest["data"]} == {"slow"}
    assert "denoise" in rest["data"][0]["slow"]
    header = {"Last-Event-ID": str(first["last_seq"])}
    answer = client.get(f"{ROOT}/events", params={"max_s": 0.01}, headers=header)
    streamed = [json.loads(event["data"]) for event in parse(answer.text)]
    assert streamed == rest["data"]


@pytest.mark.slow
def test_an_alarm_comes_with_the_record_that_raised_it(client, deps):
    fill(deps.store, make_runs(60, seed=6))
    fill(deps.store, make_runs(12, seed=7, slower={"denoise": 1.3}))
    events = client.get(f"{ROOT}/events", params={"after": 60}).json()["data"]
    raised = [(event, alarm) for event in events for alarm in event["alarms"]]
    assert {alarm["measure"] for _, alarm in raised} == {"total", "step", "denoise"}
    assert all(alarm["record"] == event["record"]["job_id"] for event, alarm in raised)
    whole = client.get(f"{ROOT}/alarms").json()["alarms"]
    assert sorted(map(str, whole)) == sorted(str(alarm) for _, alarm in raised)


def test_a_stream_tells_what_comes_while_it_is_read(server, deps):
    fill(deps.store, make_runs(3, seed=1))
    with server.stream("GET", f"{ROOT}/events") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        job = put_run(deps.store, make_record(9))
        data = next(line for line in lines if line.startswith("data: "))
        assert json.loads(data.removeprefix("data: "))["record"]["job_id"] == job.id
        deps.closing.set()
        assert list(itertools.islice(lines, 5)) in ([], [""])


def test_a_prediction_without_and_with_history(client, deps):
    body = {"job_type": "video_fast"}
    first = client.post(f"{ROOT}/predictions", json=body).json()
    assert (first["basis"], first["n"]) == ("prior", 0)
    assert first["low_s"] < first["total_s"] < first["high_s"]
    assert sum(first["phases_s"].values()) == pytest.approx(first["total_s"])
    more = client.post(f"{ROOT}/predictions", json=body | {"num_inference_steps": 50}).json()
    assert more["total_s"] > first["total_s"]
    for wrong in ({"job_type": "none"}, {"num_inference_steps": 0}, {"state": "hot"}):
        assert client.post(f"{ROOT}/predictions", json=wrong).status_code == 400


def test_what_people_gave_is_the_matrix_quality(client, deps):
    one, two = fill(deps.store, make_runs(2))
    assert row_of(client)["quality"] is None
    deps.store.put_rating(one, rater="r1", stars=5)
    deps.store.put_rating(two, rater="r1", stars=2)
    assert row_of(client)["quality"] == 3.5
    deps.store.put_rating(two, rater="r1", stars=4)
    assert row_of(client)["quality"] == 4.5


def test_rollouts_are_listed(client):
    assert client.get(f"{ROOT}/rollouts").json() == {"settings": [], "data": []}


def test_reports_in_three_forms(client, deps):
    fill(deps.store, make_runs(6, seed=3))
    for path in ("report", "digest"):
        as_json = client.get(f"{ROOT}/{path}").json()
        assert as_json["schema"] == 1
        as_text = client.get(f"{ROOT}/{path}", params={"format": "markdown"})
        assert as_text.headers["content-type"].startswith("text/markdown")
        assert as_text.text.startswith("# ")
        page = client.get(f"{ROOT}/{path}", params={"format": "html"})
        assert page.headers["content-type"].startswith("text/html")
        assert "script-src" not in page.headers["content-security-policy"]
        assert "<script" not in page.text
    assert client.get(f"{ROOT}/report", params={"since": "yesterday"}).status_code == 400
    assert client.get(f"{ROOT}/report", params={"since": "1d"}).status_code == 200
    assert client.get(f"{ROOT}/digest", params={"at": "2999-01-01"}).status_code == 400
