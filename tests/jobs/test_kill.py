"""An acknowledged submit survives the death of the process that made it."""

import subprocess
import sys

import pytest

from ourvidz.jobs.model import JobFilter
from ourvidz.jobs.open import open_store

ROUNDS = 10

CHILD = """
import sys
from pathlib import Path
from ourvidz.catalog.config import Settings
from ourvidz.jobs.open import open_store
from tests.jobs.factory import make_job
from ourvidz.core.ids import new_job_id
from datetime import datetime, UTC

store = open_store(Settings(data_dir=Path(sys.argv[1]), database_url=sys.argv[2] or None))
store.migrate()
while True:
    (job,) = store.submit([make_job(job_id=new_job_id(datetime.now(UTC)))]).jobs
    sys.stdout.write(job.id + "\\n")
    sys.stdout.flush()
"""


def acknowledged_until_killed(settings, count):
    arguments = [str(settings.data_dir), settings.database_url or ""]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True
    ) as child:
        lines = [child.stdout.readline() for _ in range(count)]
        child.kill()
        lines += child.stdout.readlines()
    return [line.strip() for line in lines if line.endswith("\n")]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kill_9_loses_no_acknowledged_submit(store_settings):
    acknowledged = []
    for index in range(ROUNDS):
        acknowledged += acknowledged_until_killed(store_settings, 20 + 13 * index)
    store = open_store(store_settings)
    store.migrate()
    stored = {job.id for job in store.list_jobs(JobFilter(), limit=10**6)}
    assert len(acknowledged) > ROUNDS * 20
    assert set(acknowledged) <= stored
    # At most the one submit a round whose answer the death cut off.
    assert len(stored) <= len(acknowledged) + ROUNDS
    store.close()
