import pytest

from ourvidz.bridge.lists import NAME_FILE, names_of, stable_name
from ourvidz.core.errors import InvalidRequest


def test_the_lists_stand_beside_their_queue():
    names = names_of("wan_queue", "gpu-1")
    assert names.processing == "wan_queue:bridge:gpu-1"
    assert names.refused == "wan_queue:bridge:gpu-1:refused"
    assert names.dead == "wan_queue:bridge:dead"


def test_the_name_outlives_the_hosts(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "container-7f3a.local")
    assert stable_name(tmp_path / "data") == "container-7f3a.local"
    monkeypatch.setattr("socket.gethostname", lambda: "container-91c2.local")
    assert stable_name(tmp_path / "data") == "container-7f3a.local"


@pytest.mark.parametrize(
    ("host", "name"), [("a b/c", "a-b-c"), ("", "host"), ("dead", "dead-1"), ("x" * 99, "x" * 64)]
)
def test_any_host_gives_a_name(tmp_path, monkeypatch, host, name):
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert stable_name(tmp_path) == name
    assert stable_name(tmp_path) == name


def test_a_given_name_is_taken_and_not_kept(tmp_path):
    assert stable_name(tmp_path, "old-host") == "old-host"
    assert not (tmp_path / NAME_FILE).exists()


@pytest.mark.parametrize("name", ["", "dead", "a:b", "a b", "-a", "x" * 65])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(InvalidRequest):
        stable_name(tmp_path, name)
