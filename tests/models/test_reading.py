"""Files into tensors: every byte once, through few buffers, and broken files told from sound."""

from __future__ import annotations

import json
import os
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import Cancelled, CheckpointInvalid
from ourvidz.models.reading import (
    CHUNK_BYTES,
    NUM_THREADS,
    BufferPool,
    ReadOptions,
    TensorRead,
    cached_share,
    read_tensors,
    stored_tensors,
)

CPU = torch.device("cpu")
SMALL = 3 * 4096  # the smallest chunk: one page, and one on each side for alignment


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "half": torch.randn(70, 65, generator=generator).to(torch.float16),
        "brain": torch.randn(9, 4096, generator=generator).to(torch.bfloat16),
        "long": torch.randn(5, 1000, generator=generator),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 4),
        "mask": torch.rand(333, generator=generator) > 0.5,
        "counts": torch.arange(100),
        "eight": torch.randn(50, generator=generator).to(torch.float8_e4m3fn),
    }


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file(weights(), path)
    return path


def as_stored(file: Path, dtype: torch.dtype | None = None) -> list[TensorRead]:
    """Return a read of every tensor, the floating ones into ``dtype``, full of other values."""
    return [
        TensorRead(
            stored=stored,
            target=torch.full(
                stored.shape,
                True,
                dtype=dtype if dtype and stored.dtype.is_floating_point else stored.dtype,
            ),
        )
        for stored in stored_tensors(file)
    ]


def equal_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.dtype == right.dtype and torch.equal(
        left.reshape(-1).view(torch.uint8), right.reshape(-1).view(torch.uint8)
    )


WAYS = {
    "in place": ReadOptions(),
    "in place, small": ReadOptions(chunk_bytes=SMALL, num_threads=3),
    "staged": ReadOptions(is_staged=True),
    "staged, small": ReadOptions(is_staged=True, chunk_bytes=SMALL, num_threads=3),
    "staged, direct": ReadOptions(is_staged=True, is_direct=True, chunk_bytes=SMALL),
}


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_every_tensor_arrives_bit_for_bit(file, way, dtype):
    reads = as_stored(file, dtype)
    read_tensors(reads, device=CPU, options=WAYS[way])
    expected = load_file(file)
    assert {read.stored.name for read in reads} == expected.keys()
    for read in reads:
        theirs = expected[read.stored.name].to(read.target.dtype)
        assert equal_bits(read.target, theirs), read.stored.name


@pytest.mark.parametrize("way", WAYS)
def test_tensors_may_lie_at_odd_places(tmp_path, way):
    """The format asks for no alignment: a header may have any length."""
    values = torch.randn(3000, generator=torch.Generator().manual_seed(1))
    header = json.dumps(
        {
            "flag": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
            "values": {"dtype": "F32", "shape": [3000], "data_offsets": [1, 12001]},
        }
    ).encode()
    header += b" " * (1 - len(header) % 2)
    assert len(header) % 2
    path = tmp_path / "odd.safetensors"
    data = b"\x07" + values.numpy().tobytes()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    reads = as_stored(path, torch.float64)
    read_tensors(reads, device=CPU, options=WAYS[way])
    assert reads[0].target.item() == 7
    assert torch.equal(reads[1].target, values.double())


def test_only_what_is_asked_for_is_read(file):
    reads = [read for read in as_stored(file) if read.stored.name in {"long", "counts"}]
    read_tensors(reads, device=CPU, options=WAYS["staged, small"])
    expected = load_file(file)
    assert all(equal_bits(read.target, expected[read.stored.name]) for read in reads)


def test_loads_side_by_side_share_few_buffers(file):
    pool = BufferPool(num_buffers=2, buffer_bytes=SMALL)
    expected = load_file(file)

    def load(_: int) -> bool:
        reads = as_stored(file)
        options = ReadOptions(is_staged=True, num_threads=4)
        read_tensors(reads, device=CPU, options=options, buffers=pool)
        return all(equal_bits(read.target, expected[read.stored.name]) for read in reads)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(load, range(8)))
    assert pool.num_made == 2
    assert len({pool.take().memory.data_ptr() for _ in range(2)}) == 2  # all were given back


def test_a_buffer_is_used_again_only_after_its_copy():
    class Event:
        num_waits = 0

        def synchronize(self) -> None:
            self.num_waits += 1

    pool = BufferPool(num_buffers=1, buffer_bytes=SMALL)
    buffer = pool.take()
    buffer.is_copied = event = Event()
    pool.give_back(buffer)
    assert pool.take() is buffer
    assert event.num_waits == 1


def test_a_cancel_ends_it_between_chunks(file):
    class CancelLater(CancelToken):
        def __init__(self) -> None:
            super().__init__()
            self.asked_by: list[threading.Thread] = []

        def raise_if_cancelled(self) -> None:
            self.asked_by.append(threading.current_thread())
            if len(self.asked_by) == 4:
                self.cancel()
            super().raise_if_cancelled()

    cancel = CancelLater()
    reads = as_stored(file)
    with pytest.raises(Cancelled):
        read_tensors(reads, device=CPU, cancel=cancel, options=WAYS["in place, small"])
    assert cancel.asked_by == [threading.current_thread()] * 4
    after = [read.target.clone() for read in reads]
    file.write_bytes(b"\0" * file.stat().st_size)
    assert all(equal_bits(*pair) for pair in zip(after, [r.target for r in reads], strict=True))
    expected = weights()
    last = reads[-1]
    assert not equal_bits(last.target, expected[last.stored.name])  # it really ended early


def test_nothing_is_written_after_a_cancel(file):
    is_begun, may_go_on = threading.Event(), threading.Event()
    num_done = []

    class Slow(BufferPool):
        def take(self):
            is_begun.set()
            assert may_go_on.wait(30)
            return super().take()

        def give_back(self, buffer) -> None:
            super().give_back(buffer)
            num_done.append(1)

    class CancelMeanwhile(CancelToken):
        def raise_if_cancelled(self) -> None:
            if self.is_begun:
                assert is_begun.wait(30)  # a thread is on its way to a target
                self.cancel()
                may_go_on.set()
            self.is_begun = True
            super().raise_if_cancelled()

        is_begun = False

    with pytest.raises(Cancelled):
        read_tensors(
            as_stored(file),
            device=CPU,
            cancel=CancelMeanwhile(),
            options=ReadOptions(is_staged=True, chunk_bytes=SMALL, num_threads=1),
            buffers=Slow(buffer_bytes=SMALL),
        )
    assert num_done == [1]


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_shrank_meanwhile_is_told(file, way):
    reads = as_stored(file)
    os.truncate(file, file.stat().st_size - 200)
    with pytest.raises(CheckpointInvalid, match=r"truncated.* it ends at byte"):
        read_tensors(reads, device=CPU, options=WAYS[way])


def write_raw(path: Path, header: bytes, data: bytes = b"") -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{",
        b"[" * 200_000,
        b'{"a": 3}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, Infinity]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        b'{"a": {"dtype": "F4", "shape": [8], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},'
        b' "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, header):
    path = write_raw(tmp_path / "bad.safetensors", header, b"\0" * 4)
    with pytest.raises(CheckpointInvalid) as caught:
        stored_tensors(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


@given(cut=st.integers(min_value=0, max_value=2**62), byte=st.integers(0, 255))
def test_a_damaged_file_is_read_in_its_bounds_or_refused(tmp_path_factory, cut, byte):
    """One byte anywhere in the header is changed: places stay inside the file, or it is refused."""
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "model.safetensors"
    save_file({"a": torch.arange(6.0), "b": torch.ones(3)}, path)
    content = bytearray(path.read_bytes())
    content[cut % (len(content) - 36)] = byte
    path.write_bytes(content)
    try:
        stored = stored_tensors(path)
    except CheckpointInvalid:
        return
    assert all(0 <= each.offset <= each.offset + each.num_bytes <= len(content) for each in stored)
    read_tensors(as_stored(path), device=CPU)


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="only this system call can tell")
def test_the_share_in_the_page_cache(file, tmp_path):
    share = cached_share(file)
    assert share is not None
    assert 0 <= share <= 1
    (tmp_path / "empty").touch()
    assert cached_share(tmp_path / "empty") is None


# ---- On a CUDA device


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("is_direct", [False, True])
def test_a_device_gets_the_same_bits(file, dtype, is_direct):
    pool = BufferPool(num_buffers=2, buffer_bytes=SMALL, is_pinned=True)
    device = torch.device("cuda", 0)
    reads = [replace(read, target=read.target.to(device)) for read in as_stored(file, dtype)]
    for _ in range(20):  # buffers go round and round
        options = ReadOptions(num_threads=4, is_direct=is_direct)
        read_tensors(reads, device=device, options=options, buffers=pool)
        expected = load_file(file)
        for read in reads:
            theirs = expected[read.stored.name].to(read.target.dtype)
            assert equal_bits(read.target.cpu(), theirs), read.stored.name
            read.target.fill_(True)


@pytest.mark.gpu
def test_a_device_needs_little_more_than_its_tensors(tmp_path):
    device = torch.device("cuda", 0)
    path = tmp_path / "model.safetensors"
    save_file({f"w{n}": torch.full((2**22,), float(n)) for n in range(32)}, path)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    reads = [
        replace(read, target=torch.empty(2**22, dtype=torch.bfloat16, device=device))
        for read in as_stored(path)
    ]
    read_tensors(reads, device=device)
    own = sum(read.target.numel() * 2 for read in reads)
    # One piece a thread is on the device in the file's dtype while it is converted.
    assert torch.cuda.max_memory_allocated(device) - before <= own + NUM_THREADS * CHUNK_BYTES
    for n, read in enumerate(sorted(reads, key=lambda read: int(read.stored.name[1:]))):
        assert bool((read.target == n).all())
