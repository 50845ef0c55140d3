"""Many claimers at once."""

import threading
from collections import Counter

from ourvidz.jobs.open import open_store
from tests.jobs.checker import check_store
from tests.jobs.factory import make_asset, make_job, make_request

JOBS = 200
THREADS = 8


def test_no_job_is_claimed_twice_and_none_is_left(store, store_settings):
    jobs = [
        make_job(request=make_request(model=f"m{i % 5}"), tenant=f"t{i % 3}") for i in range(JOBS)
    ]
    store.submit(jobs)
    claimed, lock = [], threading.Lock()

    def work(index):
        mine = open_store(store_settings)  # each its own connections and the store's own clock
        while mine.counts().by_state.get("queued"):
            job = mine.claim(f"w{index}", resident=[f"m{index % 5}"], lease_s=1e6, overdue_s=1e9)
            if job is not None:
                with lock:
                    claimed.append(job.id)
                asset = make_asset(job.token)
                assert mine.finish(job.id, job.token, result={}, assets=[asset], device_s=1.0)
        mine.close()

    if store_settings.database_url is None:
        opened = open_store(store_settings)
        opened.migrate()  # ties the file to this boot: the fixture's clock is injected
        opened.close()
    threads = [threading.Thread(target=work, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(claimed) == Counter(job.id for job in jobs)
    assert check_store(store, [job.id for job in jobs]) == []
