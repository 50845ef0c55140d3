"""Two processes train as one: equal weights, the mean of both gradients, and resumes in step.

Trainers are imported where they are used, so that a spawned process of the quick test, which
needs none, starts at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.pocket import common

ROOT = Path(__file__).parents[3]
NAMES = ("vae", "video", "image", "enhancer")
WORLD = 2
FIRST_CALL_S = 16.0
PEERS = {"CUDA_VISIBLE_DEVICES": "", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}


class Ticks(common.Budget):
    """Time that passes by being asked for, so that a run is the same on any machine."""

    ticks = 0.0

    @property
    def elapsed_s(self) -> float:
        self.ticks += 1
        return self.ticks


@pytest.fixture(autouse=True)
def _on_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PEERS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _join(rank: int, work: Callable[[int, Path], None], folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(WORLD))
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=WORLD)
    work(rank, folder)
    common.barrier()
    dist.destroy_process_group()


def _together(work: Callable[[int, Path], None], folder: Path) -> list[dict[str, Any]]:
    """Runs `work` in two processes of one group; what each of them saved, by rank."""
    torch.multiprocessing.spawn(_join, (work, folder), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


# Quick: what all trainers share, and the one trainer that no other test runs.


def _average(rank: int, folder: Path) -> None:
    processes = common.start_processes()
    generator = torch.Generator().manual_seed(rank)
    parameters = [nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(5))]
    unused = nn.Parameter(torch.zeros(2))  # in rank 1 only: rank 0 counts as a gradient of zero
    own = []
    image = nn.Parameter(torch.zeros(2, 3, 4, 4).contiguous(memory_format=torch.channels_last))
    parameters.insert(0, image)
    for parameter in parameters:
        parameter.grad = torch.empty_like(parameter)
        parameter.grad.copy_(torch.randn(parameter.shape, generator=generator))
        own.append(parameter.grad.clone())
    if rank == 1:
        unused.grad = torch.ones(2)
    told = common.average_gradients([*parameters, unused], processes, 0.25 if rank == 0 else 0.75)
    mean = [p.grad for p in (*parameters, unused)]
    assert [m.stride() for m in mean if m is not None] == [
        p.stride() for p in (*parameters, unused)
    ]
    torch.save({"own": own, "mean": mean, "told": told}, folder / f"{rank}.pt")


@pytest.mark.slow
def test_gradients_are_averaged_and_rank_0_tells_the_progress(tmp_path: Path) -> None:
    one, two = _together(_average, tmp_path)
    for mean_one, mean_two in zip(one["mean"], two["mean"], strict=True):
        assert torch.equal(mean_one, mean_two)
    for first, second, mean in zip(one["own"], two["own"], one["mean"], strict=False):
        assert not torch.equal(first, second)
        torch.testing.assert_close(mean, (first + second) / 2, atol=1e-7, rtol=0)
    assert one["mean"][-1].tolist() == [0.5, 0.5]
    assert one["told"] == two["told"] == 0.25


def _tiny_vae_settings() -> Any:
    from training.pocket import vae

    tiny = vae.Shape(num_frames=5, height=32, width=32, batch=2)
    return vae.Settings(base_dim=8, dim_mult=(1, 1, 2, 2), stages=((0.0, tiny),), scenes=16)


@pytest.mark.usefixtures("one_thread")
def test_the_video_vae_repeats_for_a_seed_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    from training.pocket import vae

    def call(name: str, seconds: float) -> vae.Trainer:
        budget = Ticks(call_s=seconds, total_s=20)
        return vae.Trainer(tmp_path / name, _tiny_vae_settings(), budget)

    first, again = call("one", 6), call("two", 6)
    for trainer in (first, again):
        trainer.train(compiled=False)
    assert first.step == again.step > 2
    for one, two in zip(first.parameters, again.parameters, strict=True):
        assert torch.equal(one, two)
    first.save()
    second = call("one", 100)
    assert second.step == first.step
    assert second.budget.spent_s >= 6
    for one, two in zip(first.parameters, second.parameters, strict=True):
        assert torch.equal(one, two)
    assert all(
        torch.equal(one, two)
        for one, two in zip(
            first.average.state()["mean"], second.average.state()["mean"], strict=True
        )
    )
    second.train(compiled=False)
    # Twenty seconds in all, of which the first call's are gone.
    assert first.step < second.step < first.step + 15
    assert second.budget.all_s < 30


# Slow: two processes of every trainer.


def _trainer(name: str, folder: Path, budget: common.Budget) -> tuple[Any, Callable[[], None]]:
    """A tiny trainer in `folder`'s sub-folder, and the call that trains it."""
    from training.pocket import enhancer, image, image_settings, vae, video

    out = folder / name
    if name == "vae":
        made: Any = vae.Trainer(out, _tiny_vae_settings(), budget)
        return made, lambda: made.train(compiled=False)
    if name == "video":
        made = video.Trainer(out, folder / "given-vae", video.smoke_settings(), budget)
        return made, lambda: made.train(compiled=False, pool=None)
    if name == "image":
        small = replace(image_settings.TINY, vocabulary=1024)
        made = image.Trainer(out, small, budget, compiled=False)
        return made, made.train
    made = enhancer.Trainer(out, enhancer.TINY, budget, compiled=False)
    return made, made.train


def _weights(trainer: Any) -> list[Tensor]:
    kept = [*trainer.parameters, *trainer.average.state()["mean"]]
    return [p.detach().clone() for p in (*kept, *getattr(trainer, "vae_parameters", ()))]


def _train_twice(rank: int, folder: Path, name: str, *, apart: float) -> dict[str, Any]:
    """Two calls of a trainer, the second from the first's checkpoint.

    Args:
        rank: Of this process.
        folder: Where runs lie.
        name: Of the trainer.
        apart: Seconds by which rank 1's clock is ahead of rank 0's.
    """
    result: dict[str, Any] = {}
    sub = folder / f"apart-{apart}"
    if rank == 0:
        (sub / name).mkdir(parents=True)
        if name == "video":
            (sub / "given-vae").symlink_to(folder / "given-vae")
        if name == "image":
            (sub / name / "tokenizer").symlink_to(folder / "tokenizer")
    common.barrier()
    for call, seconds in (("first", FIRST_CALL_S), ("second", 10.0)):
        budget = Ticks(call_s=seconds, total_s=30.0)
        budget.ticks = apart * rank
        trainer, train = _trainer(name, sub, budget)
        count = "step" if hasattr(trainer, "step") else "steps"
        extra = getattr(trainer, "vae_steps", 0)
        result[f"{call}_begins"] = getattr(trainer, count) + extra
        result[f"{call}_spent"] = budget.spent_s
        train()
        result[call] = getattr(trainer, count) + getattr(trainer, "vae_steps", 0)
        result[f"{call}_weights"] = _weights(trainer)
        trainer.save()
        common.barrier()
    return result


def _half_batches(rank: int, folder: Path) -> dict[str, Any]:
    """Gradients of pocket-image's loss: of a half of the rows each, averaged, and of all rows."""
    from transformers import CLIPTokenizer

    from training.pocket import image_data, image_nets, image_noise, image_settings

    settings = replace(image_settings.TINY, vocabulary=1024)
    kept = folder / "tokenizer"
    tokenizers = (
        CLIPTokenizer.from_pretrained(kept),
        CLIPTokenizer.from_pretrained(kept, pad_token=image_data.SECOND_PAD),
    )
    models = image_nets.Models(settings, tokenizers, torch.device("cpu"))
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(8, 4, 4, 4, generator=generator)
    mixed = image_noise.noised(latents, image_noise.noise_levels(), settings, generator)
    texts = [f"a red circle number {i} on a black background" for i in range(8)]
    tokens = torch.from_numpy(image_data.token_rows(kept, texts)).long()
    zeroed = torch.arange(8) == 2
    parameters = [*models.unet.parameters(), *models.text.parameters()]

    def gradients(rows: slice, processes: common.Processes) -> Tensor:
        part = image_noise.Noised(
            **{n: getattr(mixed, n)[rows] for n in ("sample", "target", "weight", "timesteps")}
        )
        for parameter in parameters:
            parameter.grad = None
        loss = image_noise.denoising_loss(
            models, models.unet, part, tokens[rows], zeroed[rows], (32, 32)
        )
        loss.backward()
        common.average_gradients(parameters, processes, 0.0)
        return torch.cat([torch.zeros(0) if p.grad is None else p.grad.flatten() for p in used])

    used = parameters
    alone = common.Processes(rank=0, world_size=1, device=torch.device("cpu"))
    whole = gradients(slice(0, 8), alone)
    used = [p for p in parameters if p.grad is not None]
    half = gradients(slice(4 * rank, 4 * rank + 4), alone)
    both = gradients(slice(4 * rank, 4 * rank + 4), common.start_processes())
    return {"whole": whole, "half": half, "both": both}


APART = 0.4  # ticks; clocks never agree


def _everything(rank: int, folder: Path) -> None:
    made: dict[str, Any] = {"gradients": _half_batches(rank, folder)}
    for name in NAMES:
        made[name] = _train_twice(rank, folder, name, apart=APART)
    torch.save(made, folder / f"{rank}.pt")


def _given_vae(folder: Path) -> None:
    from training.pocket import vae

    torch.manual_seed(0)
    settings = replace(_tiny_vae_settings(), z_dim=4)
    vae.export(vae.build(settings), folder, mean=[0.1] * 4, std=[0.5] * 4)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What both processes hold after two calls of every trainer."""
    from training.pocket import image_data

    folder = tmp_path_factory.mktemp("ranks")
    _given_vae(folder / "given-vae")
    tokenizer, _ = image_data.make_tokenizers(vocabulary=1024, texts=300)
    tokenizer.save_pretrained(folder / "tokenizer")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PEERS.items():
            patch.setenv(name, value)
        return _together(_everything, folder)


@pytest.mark.slow
def test_two_half_batches_give_the_whole_batchs_gradient(ranks: list[dict[str, Any]]) -> None:
    one, two = (rank["gradients"] for rank in ranks)
    scale = float(one["whole"].abs().max())
    assert scale > 0
    assert float((one["half"] - two["half"]).abs().max()) > 0.01 * scale
    assert torch.equal(one["both"], two["both"])
    assert float((one["both"] - one["whole"]).abs().max()) < 1e-6 * scale


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_both_processes_hold_bit_equal_weights(ranks: list[dict[str, Any]], name: str) -> None:
    one, two = (rank[name] for rank in ranks)
    for call in ("first", "second"):
        assert one[call] == two[call]
        for ours, theirs in zip(one[f"{call}_weights"], two[f"{call}_weights"], strict=True):
            assert torch.equal(ours, theirs)
    moved = zip(one["first_weights"], one["second_weights"], strict=True)
    assert any(not torch.equal(before, after) for before, after in moved)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_processes_go_on_from_step_and_budget(ranks: list[dict[str, Any]], name: str) -> None:
    one, two = (rank[name] for rank in ranks)
    for rank in (one, two):
        assert rank["first_begins"] == 0 < rank["first"] == rank["second_begins"]
        assert rank["second"] > rank["first"] + 2
        assert rank["first_spent"] == 0
        assert rank["second_spent"] >= FIRST_CALL_S
    assert one["second_spent"] == two["second_spent"]


def _torchrun(name: str, out: Path, *options: str) -> dict[str, Any]:
    """Runs a trainer's command in two processes; returns its record."""
    command = [sys.executable, "-m", "torch.distributed.run", "--rdzv-backend", "c10d"]
    command += ["--rdzv-endpoint", "localhost:0", "--nproc-per-node", str(WORLD)]
    command += ["-m", f"training.pocket.{name}", "--out", str(out), "--no-compile", *options]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | PEERS,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((out / "record.json").read_text(encoding="utf-8"))


def _curves(out: Path) -> list[dict[str, float]]:
    lines = (out / "curves.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_torchrun_trains_the_video_vae(tmp_path: Path) -> None:
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    record = _torchrun("vae", tmp_path, "--smoke", "--max-steps", "3")
    assert record["processes"] == WORLD
    assert record["steps"] == 3
    assert _curves(tmp_path)[-1]["step"] == record["steps"]
    loaded: Any = AutoencoderKLWan.from_pretrained(tmp_path / "export")
    assert len(loaded.config["latents_mean"]) == loaded.config["z_dim"]


@pytest.mark.slow
def test_torchrun_trains_the_video_transformer(tmp_path: Path) -> None:
    from diffusers.pipelines.wan.pipeline_wan import WanPipeline

    _given_vae(tmp_path / "vae")
    out = tmp_path / "run"
    options = ("--vae", str(tmp_path / "vae"), "--workers", "1")
    record = _torchrun("video", out, *options, "--smoke", "--max-steps", "3")
    assert record["processes"] == WORLD
    assert record["steps"] >= 3  # rank 0's progress is read a step late
    assert WanPipeline.from_pretrained(out / "export").text_encoder is not None


@pytest.mark.slow
def test_torchrun_trains_the_image_model(tmp_path: Path) -> None:
    from training.pocket import image_nets

    record = _torchrun("image", tmp_path, "--tiny", "--max-steps", "10")
    assert record["processes"] == WORLD
    assert record["vae_steps"] > 0
    assert record["vae_steps"] + record["unet_steps"] == 10
    assert _curves(tmp_path)[-1]["psnr_db"] > 0
    assert image_nets.load_pipeline(tmp_path / "export", torch.device("cpu")).unet is not None


@pytest.mark.slow
def test_torchrun_trains_the_enhancer(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    record = _torchrun("enhancer", tmp_path, "--tiny", "--max-steps", "10")
    assert record["processes"] == WORLD
    assert record["steps"] == 10
    assert _curves(tmp_path)[-1]["step"] == record["steps"]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "export")
    assert len(AutoTokenizer.from_pretrained(tmp_path / "export")) <= model.config.vocab_size
