import json

import pytest
from typer.testing import CliRunner

from ourvidz.cli.main import app
from ourvidz.cluster.ray_side import RayCluster, secure_environment
from ourvidz.cluster.wishes import Wishes
from ourvidz.core.errors import ClusterUnavailable, ConfigInvalid, OurVidzError


@pytest.fixture
def cluster(shared_environment):
    """Run a command; what it ends with, or its error."""

    def run(*words):
        done = CliRunner().invoke(app, ["cluster", *words])
        if isinstance(done.exception, OurVidzError):
            raise done.exception
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        return done

    return run


@pytest.mark.parametrize("command", [["up", "video"], ["status"], ["drain", "n"], ["down"]])
def test_commands_refuse_a_store_of_one_machine(cluster, command, monkeypatch):
    monkeypatch.delenv("OURVIDZ_DATABASE_URL")
    with pytest.raises(ConfigInvalid) as raised:
        cluster(*command)
    assert raised.value.param == "database_url"


def test_a_pool_is_made_changed_and_taken_away(cluster, shared_environment):
    shape = Wishes(shared_environment, name="main").shape
    cluster("up", "video", "--gpus", "2", "--floor", "3", "--model", "pocket-video",
            "--label", "zone=a", "--timeout", "0")  # fmt: skip
    (pool,) = shape().pools
    assert (pool.num_gpus, pool.floor, pool.ceiling) == (2, 3, 3)
    assert (pool.models, pool.labels) == (("pocket-video",), {"zone": "a"})
    cluster("scale", "video", "--ceiling", "2", "--timeout", "0")
    assert (shape().pools[0].floor, shape().pools[0].ceiling) == (2, 2)
    cluster("up", "video", "--version", "8", "--timeout", "0")
    assert (shape().pools[0].version, shape().pools[0].num_gpus) == ("8", 2)
    cluster("down", "video", "--timeout", "0")
    assert shape().pools == ()


def test_a_model_that_nobody_knows_is_refused(cluster, shared_environment):
    with pytest.raises(OurVidzError, match="wan-9"):
        cluster("up", "video", "--model", "wan-9", "--timeout", "0")


def test_without_a_controller_the_wish_is_kept_and_that_is_said(cluster, shared_environment):
    with pytest.raises(ClusterUnavailable, match="No controller"):
        cluster("up", "video", "--timeout", "0.1")
    assert [pool.name for pool in Wishes(shared_environment, name="main").shape().pools] == [
        "video"
    ]
    done = cluster("status", "--json")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["has_controller"] is False
    assert found["shape"]["pools"][0]["name"] == "video"


def test_a_drain_is_by_host_name_and_is_taken_back_also_while_the_node_is_away(
    cluster, shared_environment
):
    wishes = Wishes(shared_environment, name="main")
    wishes.create()
    wishes.lead("one", for_s=600.0)
    there = {
        "id": "node0", "address": "10.0.0.1", "hostname": "host0", "num_gpus": 2, "labels": {}
    }  # fmt: skip
    wishes.report("one", session="s", report={"nodes": [there], "unclaimed": {"enhance:x": 3}})
    cluster("drain", "10.0.0.1", "--timeout", "0")
    assert wishes.shape().is_cordoned("another", "host0")
    text = cluster("status").output
    assert "to be empty" in text
    assert "no pool claims: enhance:x (3)" in text
    cluster("drain", "node0", "--undo")
    assert not wishes.shape().is_cordoned("node0", "host0")
    cluster("drain", "host0", "--timeout", "0")
    wishes.report("one", session="s", report={"nodes": []})
    assert "host0  away" in cluster("status").output
    cluster("drain", "host0", "--undo")
    assert not wishes.shape().is_cordoned("another", "host0")


def test_a_head_that_is_not_there_is_said_at_once(monkeypatch):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "token")  # so that what it sets is taken back
    with pytest.raises(ClusterUnavailable, match=r"Nobody answers at '127\.0\.0\.1:1'"):
        RayCluster(address="127.0.0.1:1", cluster="main")


def test_a_cluster_without_a_token_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    with pytest.raises(ConfigInvalid, match="no token"):
        secure_environment()
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("x" * 32, encoding="utf-8")
    assert secure_environment() == {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}


def test_a_cluster_open_to_everybody_is_refused(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x" * 32)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ConfigInvalid, match="RAY_AUTH_MODE"):
        secure_environment()
