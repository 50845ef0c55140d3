"""The service writes each digest once, when its week or month is over."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from ourvidz.catalog.config import Settings
from ourvidz.jobs.open import open_store
from ourvidz.upkeep.digests import write_digests
from tests.clocks import ManualClock
from tests.jobs.factory import make_asset, make_job


@pytest.fixture
def house(tmp_path):
    """A store of its own with one job; gives settings, store and when the job ended."""
    settings = Settings(data_dir=tmp_path / "data")
    store = open_store(settings, clock=ManualClock())
    store.migrate()
    store.submit((make_job(),))
    job = store.claim("w1", lease_s=20.0, overdue_s=900.0)
    body = {"total_s": 2.0, "phases_s": {"denoise": 2.0}, "state": "resident"}
    assert store.finish(job.id, job.token, result={}, assets=[make_asset(1)], record=body)
    yield settings, store, datetime.fromtimestamp(store.now(), UTC)
    store.close()


def names(paths):
    return sorted(path.name for path in paths)


def test_each_is_written_once(house):
    settings, store, ran = house
    assert write_digests(settings, store, now=ran) == ()  # its week is not over
    later = ran + timedelta(days=7)
    weekly = write_digests(settings, store, now=later)
    year, week, _ = ran.isocalendar()
    name = f"weekly-{year}-W{week:02d}"
    assert {f"{name}.{suffix}" for suffix in ("html", "json", "md")} <= set(names(weekly))
    kept = json.loads((settings.data_dir / "reports" / f"{name}.json").read_text())
    assert kept["metrics"]["jobs"] == 1
    assert kept["is_over"]
    assert write_digests(settings, store, now=later) == ()
    assert not list((settings.data_dir / "reports").glob(".*"))


def test_a_month_too_and_nothing_where_nothing_ran(house):
    settings, store, ran = house
    first_of_next = (ran.replace(day=1) + timedelta(days=32)).replace(day=1)
    written = names(write_digests(settings, store, now=first_of_next))
    assert f"monthly-{ran:%Y-%m}.md" in written
    assert write_digests(settings, store, now=ran + timedelta(days=100)) == ()


def test_which_is_the_operators_choice(house, tmp_path):
    _, store, ran = house
    settings = Settings(data_dir=tmp_path / "other", performance={"digests": ()})
    assert write_digests(settings, store, now=ran + timedelta(days=31)) == ()
    assert not settings.data_dir.exists()
