"""Measures of difference against known values, then whole reports on tiny models."""

import json
import math
import shutil
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from ourvidz.bench import fidelity
from ourvidz.bench.fidelity import (
    GUIDED,
    KL,
    LINEAR,
    PSNR,
    TOP_1,
    Bound,
    Plan,
    confirmation_of,
    measure,
    relative_error,
    steps_looked_at,
    token_errors,
)
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.checkpoints.confirmations import offers_of, write_confirmation
from ourvidz.checkpoints.manifest import MANIFEST_NAME
from ourvidz.core.errors import InvalidRequest, ModelMissing, UnknownName
from ourvidz.core.request import Fidelity
from ourvidz.perf.quality import SAME_DB

HIGH = Fidelity.HIGH
WAN, SDXL, QWEN = "wan2.1-t2v-1.3b", "sdxl-base-1.0", "qwen2.5-7b-instruct"
QUICK = Plan(num_prompts=1, size="small", num_inference_steps=2)


# ---------------------------------------------------------------------------------------- measures


def test_an_error_is_relative_to_exact():
    exact = torch.tensor([3.0, 4.0])
    assert relative_error(exact + torch.tensor([0.0, 0.5]), exact) == pytest.approx(0.1)
    assert relative_error(torch.zeros(2), torch.zeros(2)) == 0.0
    assert relative_error(exact, torch.zeros(2)) == math.inf


def test_tokens_are_compared_by_their_distributions():
    exact = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.7, 0.1]]))
    found = torch.log(torch.tensor([[0.25, 0.5, 0.25], [0.2, 0.7, 0.1]]))
    top_1, kl = token_errors(found, exact)
    assert top_1 == 0.5
    assert kl == pytest.approx((0.5 * math.log(2) - 0.25 * math.log(2)) / 2)
    assert token_errors(exact + 7, exact) == (1.0, pytest.approx(0.0, abs=1e-6))


@pytest.mark.parametrize("num_steps", [1, 2, 4, 25])
def test_the_first_and_the_last_step_are_looked_at(num_steps):
    steps = steps_looked_at(num_steps)
    assert steps[0] == 0
    assert steps[-1] == num_steps - 1
    assert len(steps) == min(num_steps, 5)


class Blocks:
    """A network of three blocks, run for two texts; ``added`` is what the second block adds."""

    def __init__(self, added):
        self.added = added
        self.observer = None

    @contextmanager
    def observed(self, observer):
        self.observer = observer
        yield True
        self.observer = None

    def predict(self, moment):
        del moment
        for _ in range(2):
            x = torch.full((4,), 2.0)
            for index, added in enumerate((0.0, self.added, 1.0)):
                x += added  # in place, as the real one
                self.observer(index, x)
        return (torch.ones(1),)


def test_blocks_are_compared_by_what_they_give_and_what_they_add():
    blocks = fidelity._Blocks()
    blocks.watch_exact(Blocks(1.0), None)
    blocks.compare(Blocks(1.5), None)
    first, second, third = blocks.errors()
    assert (first.output, first.update) == (0.0, None)
    assert second.output == pytest.approx(0.5 / 3)
    assert second.update == pytest.approx(0.5)
    assert third.output == pytest.approx(0.5 / 4)
    assert third.update == pytest.approx(0.0)


def test_calls_of_torch_are_seen_with_their_results():
    seen = []
    x, weight, bias = torch.randn(2, 4, 8), torch.randn(3, 8), torch.randn(3)
    watched = fidelity._calls_watched(
        lambda out, *given: seen.append(("linear", out, given)),
        lambda out, *given: seen.append(("attention", out, given)),
    )
    with watched:
        out = F.linear(x, weight, bias)
        F.scaled_dot_product_attention(x, key=x, value=x)
        F.scaled_dot_product_attention(x, x, x, attn_mask=torch.zeros(4, 4))
        F.relu(x)
    F.linear(x, weight)
    assert [name for name, *_ in seen] == ["linear", "attention"]
    assert seen[0][1] is out
    assert seen[0][2][1] is weight
    assert all(given is x for given in seen[1][2])


# ----------------------------------------------------------------------------------- whole reports


@pytest.fixture
def settings(tmp_path, tiny_models):
    return Settings(profile="full", models_dir=tiny_models, data_dir=tmp_path, device="cpu")


@pytest.fixture
def tiny_sizes(monkeypatch):
    """Both sizes so small that a report takes seconds, and no more prompts than one."""
    smallest = {"share": 0.1, "num_frames": 5, "num_images": 1}
    for name in fidelity.SIZES:
        monkeypatch.setitem(fidelity.SIZES, name, smallest)


@pytest.fixture
def trained(tmp_path, tiny_models):
    """The tiny models as if they were no random values: what says so is gone."""
    root = tmp_path / "trained"
    for model_id in (WAN, QWEN):
        shutil.copytree(tiny_models / model_id, root / model_id)
        (root / model_id / MANIFEST_NAME).unlink()
    return root


def figures_of(report):
    return {figure.metric: figure for figure in report.figures}


def test_random_weights_run_and_prove_nothing(settings, tiny_sizes, monkeypatch):
    monkeypatch.setattr(fidelity, "BOUNDS", {HIGH: {PSNR: Bound(limit=0.0, is_least=True)}})
    told = []
    report = measure(WAN, HIGH, settings=settings, plan=QUICK, tell=told.append)
    assert report.is_random
    assert report.is_held
    assert not report.is_confirmed
    figures = figures_of(report)
    # Rounding to e4m3 rows, twice: neither nothing nor rubbish.
    assert 0.005 < figures[LINEAR].value < 0.06
    assert 0 < figures[GUIDED].value < 1
    assert figures[PSNR].value < SAME_DB
    assert len(report.blocks) == 2
    assert [step.step for step in report.steps] == [0, 1]
    assert all(len(step.branches) == 2 for step in report.steps)
    assert {each.kind for each in report.operators} == {"linear"}  # too few keys for 8 bits
    assert told
    confirmation = confirmation_of(report, settings)
    assert confirmation.is_random
    assert not confirmation.counts


def test_a_verdict_lets_a_fidelity_be_offered_until_the_files_change(
    settings, trained, tiny_sizes, monkeypatch
):
    monkeypatch.setattr(Plan, "is_whole", True)
    settings = settings.model_copy(update={"models_dir": trained})
    model = catalogue_of(settings).model(WAN)
    held = measure(WAN, HIGH, settings=settings, plan=QUICK)
    assert not held.is_random
    assert held.is_confirmed
    assert all(figure.is_held for figure in held.figures)
    broken = {GUIDED: Bound(limit=figures_of(held)[GUIDED].value / 2)}
    monkeypatch.setattr(fidelity, "BOUNDS", {HIGH: broken})
    report = measure(WAN, HIGH, settings=settings, plan=QUICK)
    assert not report.is_held
    write_confirmation(settings.data_dir, confirmation_of(report, settings))
    assert GUIDED in offers_of(settings)(model)[HIGH].reason
    write_confirmation(settings.data_dir, confirmation_of(held, settings))
    assert offers_of(settings)(model)[HIGH].is_offered
    config = trained / WAN / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"x": 1}), encoding="utf-8")
    assert "files have changed" in offers_of(settings)(model)[HIGH].reason


def test_a_quick_look_confirms_nothing(settings):
    assert Plan().is_whole
    assert not replace(Plan(), size="small").is_whole
    assert not replace(Plan(), num_inference_steps=50).is_whole
    assert not replace(Plan(), num_prompts=3).is_whole


def test_images_are_the_same_where_nothing_runs_in_8_bits(settings, tiny_sizes):
    report = measure(SDXL, HIGH, settings=settings, plan=QUICK)
    figures = figures_of(report)
    assert (figures[GUIDED].value, figures[PSNR].value) == (0.0, SAME_DB)
    assert report.is_held
    assert any("no operator" in note for note in report.notes)
    assert any("the same as one of exact" in note for note in report.notes)
    assert any("predictions only" in note for note in report.notes)


def test_images_of_our_own_forward_differ_in_8_bits(settings, tiny_sizes, monkeypatch):
    """As on a GPU: the engine takes the library's UNet on a CPU."""
    from ourvidz.engine import sdxl
    from ourvidz.models.sdxl.fast import FastUnet

    def predictor(context, model_id, unet):
        is_8bit = "sdxl.linears_8bit" in context.techniques
        return FastUnet(unet, fidelity=HIGH if is_8bit else Fidelity.EXACT)

    monkeypatch.setattr(sdxl, "predictor_of", predictor)
    report = measure(SDXL, HIGH, settings=settings, plan=QUICK)
    figures = figures_of(report)
    assert 0.005 < figures[LINEAR].value < 0.06
    assert 0 < figures[GUIDED].value < 1
    assert figures[PSNR].value < SAME_DB


def test_the_enhancer_is_given_what_exact_wrote(settings, trained, monkeypatch):
    from ourvidz.engine import enhance

    settings = settings.model_copy(update={"models_dir": trained})
    same = measure(QWEN, HIGH, settings=settings, plan=replace(QUICK, num_inference_steps=None))
    assert figures_of(same)[TOP_1].value == 1.0
    assert figures_of(same)[KL].value == 0.0
    assert any("8 bits here" in note for note in same.notes)
    monkeypatch.setattr(enhance, "supports_fp8", lambda device: True)
    report = measure(QWEN, HIGH, settings=settings, plan=replace(QUICK, num_inference_steps=None))
    assert 0 < figures_of(report)[KL].value < 1
    assert report.tokens[0].num_tokens > 1


def test_draft_is_held_to_its_frames_alone(settings):
    assert set(fidelity.BOUNDS[Fidelity.DRAFT]) == {PSNR, TOP_1, KL}


def test_draft_without_a_plan_is_refused_and_of_images_it_is_exact(settings, tiny_sizes):
    with pytest.raises(InvalidRequest, match="not calibrated"):
        measure(WAN, Fidelity.DRAFT, settings=settings, plan=QUICK)
    report = measure(SDXL, Fidelity.DRAFT, settings=settings, plan=QUICK)
    assert figures_of(report)[PSNR].value == SAME_DB
    assert figures_of(report)[GUIDED].limit is None


@pytest.mark.parametrize(
    ("model_id", "of", "plan", "error"),
    [
        (WAN, Fidelity.EXACT, QUICK, InvalidRequest),
        (WAN, HIGH, replace(QUICK, num_prompts=9), InvalidRequest),
        (WAN, HIGH, replace(QUICK, size="huge"), InvalidRequest),
        (QWEN, HIGH, QUICK, InvalidRequest),
        ("wan2.1-t2v-14b", HIGH, QUICK, UnknownName),
    ],
)
def test_what_can_not_be_compared_is_refused_before_anything_loads(
    settings, model_id, of, plan, error
):
    with pytest.raises(error):
        measure(model_id, of, settings=settings, plan=plan)


def test_a_model_that_is_not_here_is_missing(settings, tmp_path):
    with pytest.raises(ModelMissing):
        measure(WAN, HIGH, settings=settings.model_copy(update={"models_dir": tmp_path}))
