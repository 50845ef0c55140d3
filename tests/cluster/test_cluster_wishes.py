import threading

import psycopg
import pytest

from ourvidz.catalog.config import Settings, StorageConfig
from ourvidz.cluster.shape import ClusterShape, Pool
from ourvidz.cluster.wishes import Wishes, require_shared
from ourvidz.core.errors import ConfigInvalid, StoreUnavailable, UnknownName

S3 = StorageConfig(kind="s3", endpoint="http://127.0.0.1:1")
URL = "postgresql://127.0.0.1/x"


@pytest.fixture
def wishes(database_url):
    made = Wishes(database_url, name="main")
    made.create()
    return made


def test_jobs_of_one_machine_are_refused():
    with pytest.raises(ConfigInvalid) as raised:
        require_shared(Settings(storage=S3))
    assert raised.value.param == "database_url"


def test_files_of_one_machine_are_refused():
    with pytest.raises(ConfigInvalid) as raised:
        require_shared(Settings(database_url=URL))
    assert raised.value.param == "storage.kind"
    assert require_shared(Settings(database_url=URL, storage=S3)) == URL


def test_another_database_is_known_by_what_it_lacks(database_url, wishes):
    with pytest.raises(ConfigInvalid, match="knows no cluster 'other'"):
        Wishes(database_url, name="other").shape()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP TABLE cluster")
    with pytest.raises(ConfigInvalid, match="holds no cluster"):
        wishes.shape()


def test_a_database_that_is_not_there_is_unavailable_and_names_no_host():
    with pytest.raises(StoreUnavailable) as raised:
        Wishes("postgresql://user:secret@127.0.0.1:1/x", name="main").shape()
    assert "secret" not in str(raised.value)


def test_changes_at_once_lose_nothing(wishes):
    """Each is made of what the one before left."""

    def add(index):
        wishes.create()
        wishes.change(lambda shape: shape.with_pool(Pool(name=f"p{index}")))

    threads = [threading.Thread(target=add, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [pool.name for pool in wishes.shape().pools] == [f"p{index}" for index in range(8)]


def test_each_change_has_a_revision_of_its_own(wishes):
    assert wishes.shape().revision == 0
    assert wishes.change(lambda shape: shape.cordon("n1")).revision == 1
    assert wishes.change(lambda shape: ClusterShape()).revision == 2
    assert wishes.shape().revision == 2


def test_a_change_that_raises_changes_nothing(wishes):
    wishes.change(lambda shape: shape.with_pool(Pool(name="a")))
    with pytest.raises(UnknownName):
        wishes.change(lambda shape: shape.without("b"))
    assert wishes.shape() == ClusterShape(pools=(Pool(name="a"),))


def test_one_controller_leads_until_it_lets_go_or_its_time_is_over(wishes):
    assert wishes.lead("one", for_s=600.0)
    assert not wishes.lead("two", for_s=600.0)
    assert not wishes.lead("one", for_s=600.0).is_new
    wishes.let_go("two")  # not its to give
    assert not wishes.lead("two", for_s=600.0)
    wishes.let_go("one")
    assert wishes.lead("two", for_s=-1.0)  # over already
    assert not wishes.lead("two", for_s=-1.0).is_new  # nobody else led meanwhile
    assert wishes.lead("one", for_s=600.0).is_new


def test_only_the_leader_reports(wishes):
    assert wishes.seen().age_s is None
    wishes.lead("one", for_s=600.0)
    wishes.report("one", session="s1", report={"groups": []})
    wishes.report("two", session="s2", report={"groups": [1]})
    seen = wishes.seen()
    assert (seen.session, seen.report, seen.has_controller) == ("s1", {"groups": []}, True)
    assert 0 <= seen.age_s < 60
    wishes.let_go("one")
    assert not wishes.seen().has_controller
