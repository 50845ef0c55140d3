"""What machines ask of the queue every few seconds reads no table of jobs that have ended."""

import re
import sqlite3

import psycopg
import pytest
from psycopg.rows import tuple_row

from ourvidz.core.request import MediaType
from ourvidz.jobs.model import JobKind
from ourvidz.jobs.statements import POSTGRES, SQLITE
from tests.jobs.factory import make_enhance_job, make_job, make_request

PARAMS = {
    "waiting_classes": {"now": 5e9, "overdue_before": 5e9},
    "newest_classes": {"since": 0.0, "limit": 10},
}
ENDED = "UPDATE job SET state = 'succeeded' WHERE id < (SELECT max(id) FROM job)"


def test_what_waits_by_kind_and_medium(store, clock):
    video = make_request(job_type="video_fast")
    store.submit([make_job(request=video, predicted_s=20.0), make_job(predicted_s=2.0)])
    clock.advance(100.0)
    later = [make_job(request=video, predicted_s=30.0), make_enhance_job(predicted_s=1.0)]
    store.submit([*later, make_job(delay_s=60.0)])
    found = {
        (each.kind, each.media_type): (each.num_jobs, each.num_overdue, each.predicted_s)
        for each in store.waiting_classes(overdue_s=50.0)
        if each.kind is JobKind.GENERATE
    }
    assert found == {
        (JobKind.GENERATE, MediaType.VIDEO): (2, 1, 50.0),
        (JobKind.GENERATE, MediaType.IMAGE): (1, 1, 2.0),
    }
    store.pause("sdxl_image_fast")
    kinds = [(each.kind, each.num_jobs) for each in store.waiting_classes(overdue_s=50.0)]
    assert sorted(kinds) == [(JobKind.ENHANCE, 1), (JobKind.GENERATE, 2)]


def test_what_came_newest_first_whatever_became_of_it(store, clock):
    store.submit([make_job(predicted_s=1.0)])
    clock.advance(100.0)
    store.submit([make_job(predicted_s=2.0), make_job(predicted_s=3.0, delay_s=60.0)])
    assert store.claim("w", lease_s=20.0, overdue_s=900.0) is not None
    lately = store.came(within_s=50.0, limit=10)
    assert [job.predicted_s for job in lately] == [3.0, 2.0]
    assert all(job.created_at == store.now() for job in lately)
    assert [job.predicted_s for job in store.came(within_s=500.0, limit=2)] == [3.0, 2.0]
    assert len(store.came(within_s=500.0, limit=10)) == 3


@pytest.mark.parametrize("name", PARAMS)
def test_no_look_reads_the_whole_table(name, store, store_settings):
    for _ in range(6):
        store.submit([make_job() for _ in range(500)])
    if store_settings.database_url is None:
        with sqlite3.connect(store_settings.data_dir / "ourvidz.db") as connection:
            connection.execute(ENDED)
            text, flat = SQLITE.statement(name, PARAMS[name], "")
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", flat)]
        connection.close()
        wanted = {"waiting_classes": "job_queued", "newest_classes": "sqlite_autoindex_job_1"}[name]
        assert [step for step in plan if re.match("(SCAN|SEARCH) job", step)] == [
            f"SCAN job USING INDEX {wanted}"
        ]
    else:
        url = store_settings.database_url
        with psycopg.connect(url, row_factory=tuple_row, autocommit=True) as connection:
            connection.execute(ENDED)
            connection.execute("VACUUM ANALYZE job")
            text, flat = POSTGRES.statement(name, PARAMS[name], "")
            plan = [row[0] for row in connection.execute(f"EXPLAIN {text}", flat)]
        assert not any("Seq Scan on job" in step for step in plan)
        assert any("Index" in step for step in plan)
