"""`ourvidz bench confirm`, on tiny models of random values and on copies that do not say so."""

import shutil

import pytest

from ourvidz.bench import fidelity
from ourvidz.bench.fidelity import GUIDED, PSNR, Bound
from ourvidz.checkpoints.confirmations import read_confirmations
from ourvidz.checkpoints.manifest import MANIFEST_NAME
from ourvidz.core.request import Fidelity

WAN = "wan2.1-t2v-1.3b"
HIGH = Fidelity.HIGH
QUICK = ("--prompts", "1", "--steps", "2", "--size", "small", "--json")


@pytest.fixture(autouse=True)
def tiny_sizes(monkeypatch):
    smallest = {"share": 0.1, "num_frames": 5, "num_images": 1}
    for name in fidelity.SIZES:
        monkeypatch.setitem(fidelity.SIZES, name, smallest)


@pytest.fixture
def trained(tmp_path, tiny_models, monkeypatch):
    """The tiny video model as if it were no random values."""
    root = tmp_path / "trained"
    shutil.copytree(tiny_models / WAN, root / WAN)
    (root / WAN / MANIFEST_NAME).unlink()
    monkeypatch.setenv("OURVIDZ_MODELS_DIR", str(root))


def kept(tmp_path):
    return read_confirmations(tmp_path / "ourvidz-data", WAN)


def test_random_weights_prove_nothing(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(fidelity, "BOUNDS", {HIGH: {PSNR: Bound(limit=0.0, is_least=True)}})
    outcome = cli("bench", "confirm", WAN, "--fidelity", "high", *QUICK)
    assert outcome.code == 3
    assert "random weights prove nothing about 8 bits" in " ".join(outcome.err.split())
    found = outcome.last_json
    assert (found["is_random"], found["is_held"], found["is_confirmed"]) == (True, True, False)
    assert {figure["metric"] for figure in found["figures"]} >= {GUIDED, PSNR, "denoise_s"}
    assert kept(tmp_path) == {}


def test_a_quick_look_that_holds_is_not_kept(cli, tmp_path, trained, monkeypatch):
    monkeypatch.setattr(fidelity, "BOUNDS", {HIGH: {PSNR: Bound(limit=0.0, is_least=True)}})
    outcome = cli("bench", "confirm", WAN, "--fidelity", "high", *QUICK)
    assert outcome.code == 0
    assert "quick look" in outcome.err
    assert outcome.last_json["is_kept"] is False
    assert kept(tmp_path) == {}


@pytest.mark.parametrize(("limit", "code"), [(1e9, 0), (1e-9, 3)])
def test_a_whole_run_is_kept_and_decides(cli, tmp_path, trained, monkeypatch, limit, code):
    monkeypatch.setattr(fidelity, "BOUNDS", {HIGH: {GUIDED: Bound(limit=limit)}})
    monkeypatch.setattr(fidelity.Plan, "is_whole", True)
    outcome = cli("bench", "confirm", WAN, "--fidelity", "high", *QUICK)
    assert outcome.code == code, outcome.err
    assert outcome.last_json["is_kept"]
    assert kept(tmp_path)[HIGH].is_held == (code == 0)
    models = cli("bench", "confirm", WAN, "--fidelity", "exact")
    assert models.code == 2


def test_a_mistake_is_a_mistake_of_usage(cli):
    assert cli("bench", "confirm", "pocket-vidoe", "--fidelity", "high").code == 2
    assert cli("bench", "confirm", WAN).code == 2
    assert cli("bench", "confirm", WAN, "--fidelity", "high", "--size", "huge").code == 2
