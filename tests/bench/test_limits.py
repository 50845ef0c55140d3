"""Every measurement of ``bench limits``, at sizes that a CPU does in no time."""

import dataclasses
from datetime import UTC, datetime

import pytest
import torch

from ourvidz.bench import limits
from ourvidz.bench.floors import Ceilings, Kind, Precision
from ourvidz.bench.limits import Limit, Sizes, Skipped
from ourvidz.bench.records import new_record, read_record, write_record

CPU = torch.device("cpu")
TINY = Sizes(
    matmuls=((32, 64, 48),),
    attentions=((1, 16, 2, 8),),
    convolutions=((1, 8, 6, 6), (1, 8, 2, 6, 6)),
    copy_bytes=2**16,
    disk_bytes=2**20,
    samples=3,
    sample_s=0.0,
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    (folder / "some.bin").write_bytes(b"x" * 300_000)
    (folder / "more.bin").write_bytes(b"x" * 200_000)
    return list(limits.measure_limits(CPU, sizes=TINY, disk=folder))


def test_a_cpu_measures_every_kind_that_it_has(measured):
    skipped = [limit.name for limit in measured if isinstance(limit, Skipped)]
    assert skipped in ([], ["read-direct"])  # not every file system has direct reads
    found = [limit for limit in measured if isinstance(limit, Limit)]
    kinds = [limit.kind for limit in found if limit.name != "read-direct"]
    assert kinds == [
        Kind.MATMUL,
        Kind.ATTENTION,
        Kind.CONVOLUTION,
        Kind.CONVOLUTION,
        Kind.MEMORY,
        Kind.DISK,
    ]
    assert all(0 < limit.low <= limit.rate <= limit.high for limit in found)
    assert {limit.precision for limit in found} == {Precision.FP32, Precision.BYTES}


def test_a_record_gives_the_ceilings_back(measured, tmp_path):
    record = new_record(
        limits.LIMITS_SUITE, limits.results_of(measured), now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    write_record(tmp_path / "limits.json", record)
    again = Ceilings.from_record(read_record(tmp_path / "limits.json"))
    assert again == limits.ceilings_of(measured)
    assert again.base is Precision.FP32


def test_the_rate_is_work_over_time(monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr(limits.time, "perf_counter", lambda: float(next(ticks)))
    meter = limits._Meter(device=CPU, sizes=TINY)
    found = meter.measure(
        lambda: None, 500.0, kind=Kind.MATMUL, name="one", precision=Precision.FP32
    )
    assert isinstance(found, Limit)
    assert (found.low, found.rate, found.high, found.n) == (500.0, 500.0, 500.0, 3)


def test_what_does_not_run_here_is_skipped_with_its_reason():
    def refuse():
        raise RuntimeError("no such kernel\nand a long trace")

    meter = limits._Meter(device=CPU, sizes=TINY)
    found = meter.measure(
        refuse, 1.0, kind=Kind.ATTENTION, name="odd", precision=Precision.EIGHT_BIT
    )
    assert found == Skipped(kind=Kind.ATTENTION, name="odd", reason="no such kernel")


def test_rows_are_quantised_within_what_e4m3_can_tell():
    rows = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    rows[3] *= 1000
    data, scale = limits._quantized(rows)
    assert data.dtype == torch.float8_e4m3fn
    assert scale.shape == (16, 1)
    error = (data.float() * scale - rows).norm(dim=1) / rows.norm(dim=1)
    assert error.max() < 0.04


def test_8_bit_product_of_the_meters_operands_is_the_product():
    left, weight = torch.randn(2, 16, 32, generator=torch.Generator().manual_seed(1)).unbind()
    left_8, left_scale = limits._quantized(left)
    weight_8, weight_scale = limits._quantized(weight)
    product = (left_8.float() @ weight_8.float().t()) * left_scale * weight_scale.t()
    assert (product - left @ weight.t()).norm() / (left @ weight.t()).norm() < 0.06


def test_8_bit_attention_is_attention():
    query, key, value = torch.randn(3, 1, 64, 2, 64, generator=torch.Generator().manual_seed(2))
    expected = torch.nn.functional.scaled_dot_product_attention(
        *(tensor.transpose(1, 2) for tensor in (query, key, value))
    ).transpose(1, 2)
    for is_probed in (False, True):
        found = limits._our_attention(query, key, value, is_8bit=True, is_probed=is_probed)()
        assert (found.float() - expected).norm() / expected.norm() < 0.05
    with pytest.raises(ValueError, match="not made for this GPU"):
        limits._our_attention(query, key, value, is_8bit=False, is_probed=False)


def test_each_torch_backend_by_name():
    tensors = torch.randn(3, 1, 2, 16, 8, generator=torch.Generator().manual_seed(3)).unbind()
    sdpa = torch.nn.functional.scaled_dot_product_attention
    flash = limits._with_backend(limits._TORCH_BACKENDS["flash"], sdpa, tensors)
    torch.testing.assert_close(flash(), sdpa(*tensors))
    with pytest.raises(RuntimeError):
        limits._with_backend(limits._TORCH_BACKENDS["cudnn"], sdpa, tensors)()


def test_reading_covers_the_files_up_to_the_limit(tmp_path, monkeypatch):
    (tmp_path / "big").write_bytes(b"a" * 100)
    (tmp_path / "small").write_bytes(b"b" * 30)
    monkeypatch.setattr(limits, "_BLOCK_BYTES", 40)
    files = limits._files(tmp_path)
    pieces = limits._pieces(files, 120)
    assert [(path.name, offset, length) for path, offset, length in pieces] == [
        ("big", 0, 40),
        ("big", 40, 40),
        ("big", 80, 20),
        ("small", 0, 20),
    ]
    found = limits.read_rate(tmp_path, max_bytes=120, samples=2)
    assert isinstance(found, Limit)
    assert found.n == 2


def test_a_folder_without_files_is_skipped(tmp_path):
    assert isinstance(limits.read_rate(tmp_path, max_bytes=10), Skipped)


def test_a_read_that_fails_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        limits._read([(tmp_path / "gone", 0, 10)])


def test_the_sizes_of_a_gpu_hold_the_full_size_shapes():
    sizes = Sizes.of_device(torch.device("cuda"))
    assert (8192, 8192, 8192) in sizes.matmuls
    assert (1, 32760, 12, 128) in sizes.attentions
    assert all(rows % 8 == 0 and inner % 16 == 0 for rows, inner, _ in sizes.matmuls)


def test_every_byte_of_a_piece_is_read(tmp_path, monkeypatch):
    (tmp_path / "some").write_bytes(bytes(range(256)) * 40)
    seen = []
    real = limits.os.preadv

    def short_reads(descriptor, buffers, offset):
        count = real(descriptor, [buffers[0][:1000]], offset)
        seen.append((offset, count))
        return count

    monkeypatch.setattr(limits.os, "preadv", short_reads)
    limits._read([(tmp_path / "some", 2000, 4000)])
    assert seen == [(2000, 1000), (3000, 1000), (4000, 1000), (5000, 1000)]


@pytest.mark.gpu
def test_a_gpu_measures_16_and_8_bits(tmp_path):
    (tmp_path / "some.bin").write_bytes(b"x" * 300_000)
    sizes = dataclasses.replace(
        TINY, matmuls=((1024, 256, 512),), attentions=((1, 512, 4, 64),), copy_bytes=2**24
    )
    found = list(limits.measure_limits(torch.device("cuda"), sizes=sizes, disk=tmp_path))
    rates = limits.ceilings_of(found).rates
    assert (Kind.MATMUL, Precision.BF16) in rates
    assert (Kind.HOST_TO_DEVICE, Precision.BYTES) in rates
