"""One clip decoded by several ranks against one: in processes with gloo, in threads, on a GPU."""

from __future__ import annotations

import itertools
import queue
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

import ourvidz
from ourvidz.core.errors import InvalidRequest
from ourvidz.kernels.vae import ConvTiles, default_tiles
from ourvidz.models.wan.stream import StreamingDecoder, StreamOptions, options_for
from ourvidz.models.wan.stripes import Stripe, decode_together, gather_frames

TILES = ConvTiles(rows=16, outs=(16, 0), channels=(16, 0), num_warps=4)
PEERS = {"CUDA_VISIBLE_DEVICES": "", "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
PATIENCE_S = 60.0


def tiny_vae(**change):
    """The full size's structure, narrow; norms and biases are drawn too, so that all count."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    torch.manual_seed(0)
    vae = AutoencoderKLWan(**{"base_dim": 8, "num_res_blocks": 1, **change}).eval()
    generator = torch.Generator().manual_seed(1)
    for name, parameter in vae.named_parameters():
        if name.endswith("gamma"):
            parameter.data.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith("bias"):
            parameter.data.uniform_(-0.3, 0.3, generator=generator)
    return vae


@pytest.fixture(scope="module")
def vae():
    return tiny_vae()


@pytest.fixture(scope="module")
def pocket_vae():
    from ourvidz.models.wan.load import load_vae

    folder = Path(ourvidz.__file__).parent / "weights/pocket-video/vae"
    return load_vae(folder, device="cpu", dtype=torch.float32)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw(num_channels, *, num_latent_frames=4, height=5, width=4):
    shape = (1, num_channels, num_latent_frames, height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# -- ranks that are threads ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class LocalStripe(Stripe):
    """The way to ranks that are threads of this process; counts what it sends."""

    group: Any = field(default_factory=lambda: defaultdict(queue.SimpleQueue))
    sent: list[tuple[int, int]] = field(default_factory=list)  # (messages, bytes) of a swap

    def swap(self, *, sends, receives):
        self.sent.append((len(sends), sum(tensor.nbytes for tensor in sends.values())))
        for peer, tensor in sends.items():
            assert tensor.is_contiguous()
            self.group[self.rank, peer].put(tensor.clone())
        for peer, tensor in receives.items():
            assert tensor.is_contiguous()
            given = self.group[peer, self.rank].get(timeout=PATIENCE_S)
            assert given.shape == tensor.shape
            tensor.copy_(given)


def local_stripes(size):
    group = LocalStripe(rank=0, size=1).group
    for pair in ((a, b) for a in range(size) for b in range(size)):
        group[pair]  # made here, so that no two threads make it at once
    return [LocalStripe(group=group, rank=rank, size=size) for rank in range(size)]


def in_threads(stripes, work):
    with ThreadPoolExecutor(len(stripes)) as pool:
        return list(pool.map(work, stripes))


def together(decoder, latents, stripes):
    """What rank 0 yields; the others yield nothing."""
    chunks, *others = in_threads(
        stripes, lambda stripe: list(decode_together(decoder, latents, stripe=stripe))
    )
    assert not any(others)
    return chunks


def samples_of(decoder, latents, stripes):
    """The unrounded pixels of all stripes."""

    def run(stripe):
        return torch.cat(list(decoder._decode(latents, stripe=stripe)))

    return torch.cat(in_threads(stripes, run), dim=1)


def assert_same_picture(found, expected, *, limit):
    assert found.shape == expected.shape
    assert expected.std() > 0.05  # a picture, not a constant,
    assert (expected.abs() == 1).float().mean() < 0.2  # and most of it not clipped
    difference = float((found - expected).abs().max())
    assert difference <= limit, difference


OPTIONS = [
    {},
    {"frames_per_step": 2, "spare_steps": 2},
    {"head_frames": 1, "is_upsampling_folded": False},
    {"triton_convs": {8: TILES, 16: TILES, 32: TILES}},
    {"paired_convs": {8: TILES, 16: TILES, 32: TILES}, "head_frames": 3},
    {"paired_convs": {16: TILES}, "triton_convs": {32: TILES}, "spare_steps": 2},
]


@pytest.mark.parametrize("size", [2, 3, 5])  # of 5 lines: 3 + 2, 2 + 2 + 1, one each
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.usefixtures("one_thread")
def test_stripes_are_the_whole(vae, options, size):
    latents = draw(vae.config.z_dim)
    for dtype, limit in ((torch.float64, 1e-7), (torch.float32, 1e-5)):
        decoder = StreamingDecoder(vae, dtype=dtype, options=StreamOptions(**options))
        expected = torch.cat(list(decoder.decode_samples(latents)))
        found = samples_of(decoder, latents, local_stripes(size))
        assert_same_picture(found, expected, limit=limit)


@pytest.mark.usefixtures("one_thread")
def test_without_borders_the_pictures_differ(vae, monkeypatch):
    """That the comparison above sees a border of zeros, as at the picture's edge."""

    def forget(_, frames):
        frames[:, 0] = frames[:, -1] = 0

    latents = draw(vae.config.z_dim, num_latent_frames=2)
    decoder = StreamingDecoder(vae)
    expected = torch.cat(list(decoder.decode_samples(latents)))
    monkeypatch.setattr(LocalStripe, "exchange", forget)
    found = samples_of(decoder, latents, local_stripes(2))
    assert (found - expected).abs().max() > 1e-2


@pytest.mark.usefixtures("one_thread")
def test_the_pocket_model_together(pocket_vae):
    latents = draw(pocket_vae.config.z_dim, num_latent_frames=3, height=7)
    decoder = StreamingDecoder(pocket_vae)
    expected = list(decoder.decode(latents))
    chunks = together(decoder, latents, local_stripes(3))
    assert [chunk.shape for chunk in chunks] == [chunk.shape for chunk in expected]
    assert all(chunk.dtype == torch.uint8 and chunk.is_contiguous() for chunk in chunks)
    found, expected = torch.cat(chunks).int(), torch.cat(expected).int()
    assert (found - expected).abs().max() <= 1  # a value on the edge between two
    assert (found != expected).float().mean() < 1e-3


def test_a_stripe_of_one_is_the_whole(vae):
    latents = draw(vae.config.z_dim, num_latent_frames=2)
    decoder = StreamingDecoder(vae)
    stripe = Stripe(group=None, rank=0, size=1)
    expected, found = (
        list(decoder.decode(latents)),
        list(decoder.decode_stripe(latents, stripe=stripe)),
    )
    assert torch.equal(torch.cat(found), torch.cat(expected))
    assert torch.equal(
        torch.cat(list(decode_together(decoder, latents, stripe=stripe))), torch.cat(expected)
    )


def test_chunks_of_a_stripe(vae):
    latents = draw(vae.config.z_dim, num_latent_frames=3)
    decoder = StreamingDecoder(vae)
    upper, lower = in_threads(
        local_stripes(2), lambda stripe: list(decoder.decode_stripe(latents, stripe=stripe))
    )
    assert [tuple(chunk.shape) for chunk in upper] == [(n, 24, 32, 3) for n in (1, 4, 4)]
    assert [tuple(chunk.shape) for chunk in lower] == [(n, 16, 32, 3) for n in (1, 4, 4)]


class OneAtATime:
    """A module whose functions no two threads run at once, as Triton's interpreter needs."""

    def __init__(self, module):
        self._module = module
        self._lock = threading.Lock()

    def __getattr__(self, name):
        def locked(*given, **named):
            with self._lock:
                return getattr(self._module, name)(*given, **named)

        return locked


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_stripes_through_the_kernels(monkeypatch):
    pytest.importorskip("triton")
    from ourvidz.kernels import _vae_triton, runtime
    from ourvidz.kernels import vae as kernels
    from ourvidz.models.wan import stream

    narrow = {"base_dim": 16, "dim_mult": [1, 2], "temperal_downsample": [True]}
    vae = tiny_vae(**narrow)
    latents = draw(vae.config.z_dim, num_latent_frames=2, height=3, width=2)
    expected = torch.cat(list(StreamingDecoder(vae).decode_samples(latents)))
    modules = OneAtATime(_vae_triton)
    monkeypatch.setattr(runtime, "is_interpreting", True)
    monkeypatch.setattr(stream, "_runs_kernels", lambda _: True)
    monkeypatch.setattr(kernels, "_triton", lambda: modules)
    tiles = ConvTiles(rows=32, outs=(16, 0), channels=(16, 0))
    options = StreamOptions(triton_convs={32: tiles}, paired_convs={16: tiles})
    found = samples_of(StreamingDecoder(vae, options=options), latents, local_stripes(2))
    assert_same_picture(found, expected, limit=1e-5)


# -- ways of the stripe itself ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_lines", "size", "heights"),
    [(60, 8, [8] * 4 + [7] * 4), (90, 4, [23, 23, 22, 22]), (12, 4, [3] * 4), (5, 5, [1] * 5)],
)
def test_lines_are_split_as_evenly_as_they_go(num_lines, size, heights):
    lines = list(range(num_lines))
    parts = [lines[Stripe(group=None, rank=r, size=size).lines(num_lines)] for r in range(size)]
    assert [len(part) for part in parts] == heights
    assert list(itertools.chain(*parts)) == lines


def test_more_ranks_than_lines_are_refused():
    with pytest.raises(InvalidRequest, match="4 lines of latents can't be split over 5") as refused:
        Stripe(group=None, rank=0, size=5).lines(4)
    assert refused.value.param == "height"
    assert "at least 40" in refused.value.hint


def test_exchange_fills_borders_and_nothing_else():
    whole = torch.randn(2, 6, 3, 4)
    stripes = local_stripes(3)
    bordered = [torch.full((2, 4, 3, 4), float("nan")) for _ in stripes]
    for stripe, frames in zip(stripes, bordered, strict=True):
        frames[:, 1:-1] = whole[:, stripe.lines(6)]
    in_threads(stripes, lambda stripe: stripe.exchange(bordered[stripe.rank]))
    padded = torch.nn.functional.pad(whole, (0, 0, 0, 0, 1, 1))
    for stripe, frames in zip(stripes, bordered, strict=True):
        lines = stripe.lines(6)
        assert torch.equal(frames, padded[:, lines.start : lines.stop + 2])


@pytest.mark.parametrize("dst", [0, 2])
def test_frames_are_gathered_on_one_rank(dst):
    whole = torch.randint(0, 256, (2, 40, 3, 3), dtype=torch.uint8)

    def run(stripe):
        lines = stripe.lines(5)
        own = whole[:, 8 * lines.start : 8 * lines.stop].contiguous()
        return gather_frames(own, stripe=stripe, height=40, dst=dst)

    found = in_threads(local_stripes(3), run)
    assert torch.equal(found.pop(dst), whole)
    assert found == [None, None]


@pytest.mark.usefixtures("one_thread")
def test_one_exchange_a_convolution_and_piece(vae):
    """As the module counts them: what full size costs follows from the same sums."""
    latents = draw(vae.config.z_dim, num_latent_frames=6)
    stripes = local_stripes(2)
    list(
        in_threads(
            stripes,
            lambda stripe: list(StreamingDecoder(vae).decode_stripe(latents, stripe=stripe)),
        )
    )
    # Pieces of 1 and then 4 latent frames in the first stage, of one in the others; the mid
    # block's two residual blocks, two in each stage, and the convolution that doubles the size.
    exchanges = 3 * (4 + 4 + 1) + 6 * ((4 + 1) + (4 + 1) + (4 + 1))
    gathers = 3
    assert len(stripes[0].sent) == exchanges + gathers
    assert all(messages == 1 for messages, _ in stripes[0].sent)


def test_stripes_take_as_many_more_frames_at_once():
    cpu = torch.device("cpu")
    steps = {n: options_for(cpu, num_stripes=n) for n in (1, 2, 4, 8)}
    assert steps[1] == StreamOptions()
    assert [options.frames_per_step for options in steps.values()] == [1, 2, 4, 4]
    assert [options.head_frames for options in steps.values()] == [4, 8, 16, 16]


def test_counts_the_memory_of_a_stripe(vae):
    decoder = StreamingDecoder(vae)
    whole = decoder.memory_bytes(height=480, width=832)
    parts = [
        decoder.memory_bytes(height=480, width=832, stripe=Stripe(group=None, rank=r, size=8))
        for r in (0, 7)
    ]
    assert (
        decoder.memory_bytes(height=480, width=832, stripe=Stripe(group=None, rank=0, size=1))
        == whole
    )
    assert parts[1] < parts[0]  # 7 lines of latents and 8
    assert whole / 8 < parts[0] < 1.2 * whole * 8 / 60  # its lines and two borders each


# -- ranks that are processes ----------------------------------------------------------------------

GROUPS = ([0, 1], [1, 2, 3], [0, 1, 2, 3])


def _join(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'store'}",
        rank=rank,
        world_size=4,
        timeout=timedelta(seconds=PATIENCE_S),
    )
    latents = torch.load(folder / "latents.pt")
    for ranks in GROUPS:
        group = dist.new_group(ranks)
        if rank not in ranks:
            continue
        stripe = Stripe(group=group, rank=ranks.index(rank), size=len(ranks))
        for name in ("float32", "float64"):
            decoder = torch.load(folder / f"{name}.pt", weights_only=False)
            chunks = list(decode_together(decoder, latents, stripe=stripe))
            torch.save(chunks, folder / f"{name}-{stripe.size}-{stripe.rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_processes_together(vae, tmp_path, monkeypatch):
    for name, value in PEERS.items():
        monkeypatch.setenv(name, value)
    latents = draw(vae.config.z_dim)
    decoders = {
        "float32": StreamingDecoder(vae),
        "float64": StreamingDecoder(vae, dtype=torch.float64),
    }
    torch.save(latents, tmp_path / "latents.pt")
    for name, decoder in decoders.items():
        torch.save(decoder, tmp_path / f"{name}.pt")
    torch.multiprocessing.spawn(_join, (tmp_path,), nprocs=4)
    for name, decoder in decoders.items():
        expected = list(decoder.decode(latents))
        for size in map(len, GROUPS):
            found, *others = (
                torch.load(tmp_path / f"{name}-{size}-{rank}.pt") for rank in range(size)
            )
            assert not any(others)
            assert [len(chunk) for chunk in found] == [1, 4, 4, 4]
            difference = torch.cat(found).int() - torch.cat(expected).int()
            assert difference.abs().max() <= (name == "float32"), (name, size)
            assert (difference != 0).float().mean() < 1e-3


# -- on a GPU --------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("convs", ["library", "triton", "paired"])
def test_stripes_on_a_gpu(convs, size):
    """Ranks are threads on one GPU, whose work runs in order of its one stream."""
    wide = tiny_vae(base_dim=96, dim_mult=[1, 2, 4, 4]).cuda()
    latents = draw(wide.config.z_dim, height=9, width=10).cuda()
    sizes = (96, 192, 384)
    kernels = {
        "library": {},
        "triton": {"triton_convs": {n: default_tiles(n, n) for n in sizes}},
        "paired": {"paired_convs": {n: default_tiles(n, n, is_paired=True) for n in sizes}},
    }
    # Autotuning is a switch of the whole process, which threads would turn under each other.
    options = StreamOptions(has_autotuning=False, **kernels[convs])
    decoder = StreamingDecoder(wide, dtype=torch.bfloat16, options=options)
    expected = torch.cat(list(decoder.decode_samples(latents)))
    found = samples_of(decoder, latents, local_stripes(size))
    assert found.shape == expected.shape
    assert (expected.abs() == 1).float().mean() < 0.2
    mse = (found - expected).square().mean()
    assert 10 * torch.log10(4 / mse.clamp(min=1e-12)) > 35  # as bfloat16 is to float32
    whole = torch.cat(together(decoder, latents, local_stripes(size)))
    again = torch.cat(together(decoder, latents, local_stripes(size)))
    assert torch.equal(whole, again)
