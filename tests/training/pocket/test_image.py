"""pocket-image: its data, its arithmetic, and a tiny training run from start to pictures."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from transformers import CLIPTokenizer

from training.pocket import (
    captions,
    common,
    enhancer_data,
    image,
    image_data,
    image_nets,
    image_noise,
    image_settings,
    image_sheets,
)
from training.pocket.world import sample_scene

SMALL = replace(image_settings.TINY, vocabulary=1024)


class Ticks(common.Budget):
    """Time that passes by being asked for, so that a run is the same on any machine."""

    ticks = 0

    @property
    def elapsed_s(self) -> float:
        self.ticks += 1
        return self.ticks


@pytest.fixture(scope="module")
def tokenizers() -> tuple[CLIPTokenizer, CLIPTokenizer]:
    return image_data.make_tokenizers(vocabulary=SMALL.vocabulary, texts=400)


@pytest.fixture(scope="module")
def folder(tokenizers, tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("tokenizer")
    tokenizers[0].save_pretrained(made)
    return made


@pytest.fixture
def models(tokenizers) -> image_nets.Models:
    return image_nets.Models(SMALL, tokenizers, torch.device("cpu"))


def test_any_text_has_tokens_and_comes_back(tokenizers) -> None:
    text = "zürich 你好 qwxyz 42 !?"
    ids = tokenizers[0](text).input_ids
    assert tokenizers[0].unk_token_id not in ids[1:-1]
    assert tokenizers[0].decode(ids[1:-1]).replace(" ", "") == text.replace(" ", "")


def test_the_two_tokenizers_pad_as_sdxl_does(tokenizers) -> None:
    one, two = (
        t("a red circle", padding="max_length", max_length=77, truncation=True).input_ids
        for t in tokenizers
    )
    assert len(one) == len(two) == 77
    assert one[0] == tokenizers[0].bos_token_id
    assert one[-1] == tokenizers[0].eos_token_id
    assert two[-1] == 0
    assert tokenizers[1].pad_token == "!"


def test_rich_prompts_fit_the_text_encoders() -> None:
    tokenizer, _ = image_data.make_tokenizers(vocabulary=1280, texts=4000)
    rng = random.Random(0)
    for _ in range(100):
        scene = sample_scene(rng, video=False)
        caption, swapped = enhancer_data.worded(scene, rng)
        text = enhancer_data.rich_prompt(scene, caption.named, rng, swapped=swapped)
        assert len(tokenizer(text).input_ids) <= image_data.TEXT_LENGTH


def test_training_rows_repeat_for_a_seed(folder) -> None:
    recipe = image_data.Recipe(tokenizer=folder, rows=8)
    one, two = image_data.make_rows(recipe, 3), image_data.make_rows(recipe, 3)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert one["tokens"].shape == (8, 1, 77)
    assert one["centre"].shape == (8, 2, 2, 2)


@pytest.mark.slow
def test_a_feed_of_worker_processes_gives_what_the_seeds_say(folder) -> None:
    recipe = image_data.Recipe(tokenizer=folder, rows=4)
    feed = image_data.Feed(image_data.make_rows, recipe, seed=50, workers=1, ahead=2)
    try:
        first, second = feed.take(wait=True), feed.take(wait=True)
    finally:
        feed.close()
    assert first is not None
    assert second is not None
    assert np.array_equal(first["tokens"], image_data.make_rows(recipe, 50)["tokens"])
    assert np.array_equal(second["tokens"], image_data.make_rows(recipe, 51)["tokens"])


def test_a_bank_keeps_the_newest_rows() -> None:
    bank = image_data.Bank(4)
    bank.add(x=torch.arange(3))
    bank.add(x=torch.arange(3, 6))
    assert sorted(bank.newest()["x"].tolist()) == [2, 3, 4, 5]
    drawn = bank.sample(64, torch.Generator().manual_seed(0))["x"]
    assert set(drawn.tolist()) <= {2, 3, 4, 5}


def test_text_is_encoded_as_the_librarys_pipeline_does(models, tmp_path) -> None:
    image_nets.export(models, tmp_path)
    pipeline = image_nets.load_pipeline(tmp_path, torch.device("cpu"))
    text = "a red circle on a black background"
    embeds, _, pooled, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False)
    live = image_nets.Models(SMALL, models.tokenizers, torch.device("cpu"))
    live.text[0], live.text[1] = pipeline.text_encoder, pipeline.text_encoder_2
    tokens = models.tokenizers[0](text, padding="max_length", max_length=77).input_ids
    ours, our_pooled = live.encode_text(torch.tensor([tokens]))
    torch.testing.assert_close(ours, embeds)
    torch.testing.assert_close(our_pooled, pooled)


@torch.no_grad()
def test_standardised_latents_decode_to_the_same_picture(models) -> None:
    pixels = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before, log_variance = image_nets.encode_pixels(models.vae, pixels)
    picture = models.vae.decode(before).sample
    mean, std = before.mean((0, 2, 3)), before.std((0, 2, 3))
    image_nets.standardise(models.vae, mean, std)
    after, new_log_variance = image_nets.encode_pixels(models.vae, pixels)
    scaled = after * image_nets.SCALING_FACTOR
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(models.vae.decode(after).sample, picture, atol=1e-3, rtol=1e-3)
    relative = (0.5 * new_log_variance).exp() / (0.5 * log_variance).exp()
    wanted = 1 / (image_nets.SCALING_FACTOR * std)[:, None, None].expand_as(relative[0])
    torch.testing.assert_close(relative[0], wanted, rtol=1e-3, atol=1e-4)


def test_a_sampler_with_the_true_answer_walks_the_path_trained_on() -> None:
    """Steps the library's sampler with the target of `noised` at every level: it must arrive."""
    latents = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    sampler = image_nets.scheduler()
    sampler.set_timesteps(15)
    noise = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(2))
    sample = noise * sampler.init_noise_sigma
    for number, timestep in enumerate(sampler.timesteps):
        sampler.scale_model_input(sample, timestep)
        level, start = sampler.sigmas[number], sampler.sigmas[0]
        # The path's mean and spread at this level, as `noised` mixes them.
        path = (1 - level / start) * latents + level * (1 + start**-2).sqrt() * noise
        torch.testing.assert_close(sample, path, atol=1e-4, rtol=1e-4)
        sample = sampler.step((sample - latents) / level, timestep, sample).prev_sample
    torch.testing.assert_close(sample, latents, atol=1e-4, rtol=1e-4)


def test_noised_rows_point_at_the_true_latents() -> None:
    latents = torch.randn(64, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    levels = image_noise.noise_levels()
    mixed = image_noise.noised(latents, levels, SMALL, torch.Generator().manual_seed(0))
    level = levels[mixed.timesteps][:, None, None, None]
    sample = mixed.sample * (level.square() + 1).sqrt()
    torch.testing.assert_close(sample - level * mixed.target, latents, atol=1e-3, rtol=1e-3)
    assert bool((mixed.weight >= 1).all())


@pytest.mark.slow
def test_a_tiny_run_resumes_and_exports_what_the_library_loads(tmp_path) -> None:
    first = image.Trainer(tmp_path, SMALL, Ticks(call_s=40, total_s=80), compiled=False)
    first.train()
    assert first.vae_done
    first.finish(pictures=4)
    second = image.Trainer(tmp_path, SMALL, Ticks(call_s=200, total_s=80), compiled=False)
    assert (second.vae_steps, second.steps) == (first.vae_steps, first.steps)
    assert second.budget.spent_s >= 40
    second.train()
    second.finish(pictures=4)
    assert second.steps > first.steps > 0
    assert second.vae_steps == first.vae_steps > 0
    facts = json.loads((tmp_path / "export" / "ourvidz.json").read_text(encoding="utf-8"))
    assert (facts["height"], facts["max_sequence_length"]) == (32, 77)
    assert facts["default_negative_prompt"] == captions.DEFAULT_NEGATIVE_PROMPT
    pipeline = image_nets.load_pipeline(tmp_path / "export", torch.device("cpu"))
    assert pipeline.config["force_zeros_for_empty_prompt"]
    assert pipeline.scheduler.config["timestep_spacing"] == "leading"
    one = image_sheets.generate(pipeline, ["a red circle"], steps=2, negative=None, seed=4)
    two = image_sheets.generate(pipeline, ["a red circle"], steps=2, negative=None, seed=4)
    assert one.shape == (1, 32, 32, 3)
    assert np.array_equal(one, two)
    assert (tmp_path / "sheet.png").exists()
    lines = (tmp_path / "curves.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["psnr_db"] > 0


@pytest.mark.slow
def test_a_given_vae_is_used_as_it_is_and_costs_no_time(tmp_path, models) -> None:
    image_nets.export(models, tmp_path / "given")
    given = AutoencoderKL.from_pretrained(tmp_path / "given" / "vae", torch_dtype=torch.float32)
    out = tmp_path / "run"
    first = image.Trainer(
        out, SMALL, Ticks(call_s=12, total_s=40), compiled=False, vae=tmp_path / "given"
    )
    first.train()
    first.save()
    assert first.vae_steps == 0 < first.steps
    kept = first.models.vae.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in given.state_dict().items())
    # Whoever goes on need not say it again: the whole time is still the UNet's.
    second = image.Trainer(out, SMALL, Ticks(call_s=80, total_s=40), compiled=False)
    assert second.vae_done
    assert second.settings.vae_share == 0
    second.train()
    assert second.steps > first.steps
    assert second.vae_steps == 0
