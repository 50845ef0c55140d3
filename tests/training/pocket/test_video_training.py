"""Tiny trainings end to end: they resume, export the library's layout, and reload to the same."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers.pipelines.wan.pipeline_wan import WanPipeline
from tokenizers import Tokenizer

from training.pocket import common, sampling, vae, video
from training.pocket.bank import encode_texts, make, unconditional_tokens
from training.pocket.tokenizer import MAX_SEQUENCE_LENGTH, VOCAB_SIZE, train, wrap


@pytest.fixture(scope="module")
def tiny_vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    settings = vae.Settings(base_dim=8, dim_mult=(1, 1, 2, 2), z_dim=4)
    folder = tmp_path_factory.mktemp("vae") / "export"
    vae.export(vae.build(settings), folder, mean=[0.1] * 4, std=[0.5] * 4)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_vae: Path) -> Path:
    """A folder after two calls of a tiny training, the second going on from the first."""
    out = tmp_path_factory.mktemp("video")
    wrap(train(count=800)).save_pretrained(out / "tokenizer")
    readings = itertools.count(step=0.05)  # a clock of its own, so that load changes no step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "time", SimpleNamespace(monotonic=lambda: next(readings)))
        for name in ("first", "second"):
            budget = common.Budget(call_s=2.0, total_s=100.0, started_s=next(readings))
            trainer = video.Trainer(out, tiny_vae, video.smoke_settings(), budget)
            trainer.train(compiled=False, pool=None)
            trainer.finish()
            (out / "record.json").rename(out / f"{name}.json")
    return out


def test_a_second_call_goes_on_where_the_first_stopped(run: Path) -> None:
    first, second = (
        json.loads((run / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("first", "second")
    )

    assert first["steps"] > 5
    assert second["steps"] > first["steps"] + 5
    assert second["seconds"] > 1.9 * first["seconds"] > 3.7


def test_the_export_is_what_the_librarys_pipeline_loads(run: Path) -> None:
    pipeline = WanPipeline.from_pretrained(run / "export", torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    frames = pipeline(
        "a red circle",
        num_frames=5,
        height=32,
        width=32,
        num_inference_steps=2,
        guidance_scale=6.5,
        max_sequence_length=MAX_SEQUENCE_LENGTH,
        output_type="np",
    ).frames

    assert frames.shape == (1, 5, 32, 32, 3)


def test_our_sampling_is_the_pipelines(run: Path) -> None:
    case = sampling.Case(num_frames=5, height=32, width=32, steps=3)
    models = sampling.load(run / "export", torch.device("cpu"))
    ours = sampling.sample(models, ["a blue star moving left"], case, seeds=[3])
    pipeline = WanPipeline.from_pretrained(run / "export", torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        "a blue star moving left",
        negative_prompt=case.negative_prompt,
        num_frames=5,
        height=32,
        width=32,
        num_inference_steps=3,
        guidance_scale=case.guidance,
        output_type="np",
        max_sequence_length=MAX_SEQUENCE_LENGTH,
        generator=torch.Generator().manual_seed(3),
    ).frames

    assert abs(ours.astype(float) - theirs * 255).max() < 1.0


def test_any_text_has_tokens_and_comes_back() -> None:
    tokenizer = wrap(train(count=800))
    text = "a red circle \u4f60\u597d zebra"
    tokens = tokenizer(text).input_ids

    assert len(tokenizer) == VOCAB_SIZE
    assert tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(tokens, skip_special_tokens=True) == text
    assert len(tokenizer("a red circle moves left").input_ids) == 6


def test_banks_hold_scenes_with_their_captions_as_tokens(run: Path) -> None:
    file = run / "tokenizer" / "tokenizer.json"
    first, second = make(
        [(3, True), (2, False)], captions=2, seed=1, tokenizer_file=file, pool=None
    )

    assert first.tokens.shape == (3, 2, MAX_SEQUENCE_LENGTH)
    assert second.placement.shape.shape == (2, 2)
    assert int((unconditional_tokens(50, seed=1, tokenizer_file=file)[:, 0] == 1).sum()) > 5
    empty = encode_texts(Tokenizer.from_file(str(file)), [""])
    assert empty[0].tolist() == [1] + [0] * (MAX_SEQUENCE_LENGTH - 1)


class _Fixed(torch.nn.Module):
    """Predicts the token's value everywhere: stands for a model whose answers are known."""

    def forward(
        self, noisy: torch.Tensor, sigma: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        del sigma
        return torch.zeros_like(noisy) + tokens[:, :1, None, None, None] / 3


def test_the_loss_is_that_of_the_velocity() -> None:
    clean, tokens = torch.ones(4, 2, 1, 4, 4), torch.full((4, 3), 6)  # predict 2
    torch.manual_seed(0)
    loss = video.loss_of(_Fixed(), clean, tokens, shift=3.0)
    torch.manual_seed(0)
    video.sample_sigmas(4, 3.0, clean.device)
    target = torch.randn_like(clean) - clean

    assert float(loss) == pytest.approx(float((2 - target).square().mean()), rel=1e-5)
