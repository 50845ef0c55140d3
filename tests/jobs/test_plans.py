"""Claims must stay fast in a long queue: what the planners do with 5,000 waiting jobs."""

import re
import sqlite3

import psycopg
import pytest
from psycopg.rows import tuple_row

from ourvidz.jobs.postgres import _BEGIN
from ourvidz.jobs.statements import POSTGRES, SQLITE, statements
from tests.jobs.factory import make_job, make_request

PARAMS = {
    "lanes": ["generate:m0", "generate:m1"],
    "lane": "generate:m0",
    "priority": 0,
    "tenant": "t1",
    "before": 5e9,
    "now": 5e9,
    "batch_shape": "shape",
    "limit": 4,
    "id": "job_x",
    "worker_id": "w",
    "lease_until": 1.0,
    "most": 8,
    "since": 0.0,
}
CLAIM = (
    "has_work",
    "release_delayed",
    "ready_lanes",
    "next_tenants",
    "lane_heads",
    "pick_band",
    "pick_overdue",
    "pick_shape",
    "upcoming",
    "demand",
    "claim_job",
    "expired_leases",
    "wrongly_held",
)


def params_of(name):
    names = set(re.findall(r":\*{0,2}([a-z]\w*)", statements()[name]))
    return {key: value for key, value in PARAMS.items() if key in names}


@pytest.fixture
def filled(store, store_settings):
    for start in range(0, 5000, 500):
        store.submit(
            [
                make_job(request=make_request(model=f"m{i % 5}"), tenant=f"t{i % 3}")
                for i in range(start, start + 500)
            ]
        )
    return store_settings


def steps_of(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from steps_of(child)


def sqlite_problems(settings, name):
    connection = sqlite3.connect(settings.data_dir / "ourvidz.db")
    text, flat = SQLITE.statement(name, params_of(name), "")
    lines = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", flat)]
    connection.close()
    return [
        line
        for line in lines
        if "TEMP B-TREE" in line
        or re.match(r"SCAN job(?! USING)|SCAN job USING INDEX job_tenant", line)
    ]


def postgres_problems(settings, name):
    text, flat = POSTGRES.statement(name, params_of(name), "")
    with psycopg.connect(settings.database_url, row_factory=tuple_row) as connection:
        if name != "has_work":  # which runs outside of transactions
            connection.execute(_BEGIN)
        (answer,) = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", flat).fetchone()
        connection.rollback()
    return [
        (step["Node Type"], step["Actual Rows"])
        for step in steps_of(answer[0]["Plan"])
        if step["Actual Rows"] > 100
        or (step["Node Type"] == "Seq Scan" and step["Relation Name"] == "job")
    ]


@pytest.mark.parametrize("is_analyzed", [False, True])
def test_no_step_of_a_claim_reads_the_queue(filled, is_analyzed):
    is_postgres = filled.database_url is not None
    if is_analyzed and is_postgres:
        with psycopg.connect(filled.database_url, autocommit=True) as connection:
            connection.execute("ANALYZE")
    elif is_analyzed:
        with sqlite3.connect(filled.data_dir / "ourvidz.db") as connection:
            connection.execute("ANALYZE")
    look = postgres_problems if is_postgres else sqlite_problems
    problems = {name: found for name in CLAIM if (found := look(filled, name))}
    assert problems == {}
