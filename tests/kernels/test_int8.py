"""Linears on 8-bit integers: exact sums, and the rounding of rows."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from ourvidz.kernels import int8
from ourvidz.kernels.int8 import Int8Pairs, Int8Rows, Int8Tiles, Int8Weight

pytest.importorskip("triton")

SMALL = Int8Tiles(
    block_m=32, block_n=32, block_k=32, num_warps=4, num_stages=2, group_m=2, has_descriptors=False
)
TILES = {
    "pointers": SMALL,
    "descriptors": dataclasses.replace(SMALL, has_descriptors=True),
    "persistent": dataclasses.replace(SMALL, is_persistent=True, has_descriptors=True),
    "halves": dataclasses.replace(SMALL, has_halves=True),
    "persistent_halves": dataclasses.replace(SMALL, is_persistent=True, has_halves=True),
}


@pytest.fixture(params=["reference", "triton"])
def use(request, monkeypatch):
    """Which side the public functions take."""
    is_triton = request.param == "triton"
    monkeypatch.setattr(int8, "can_run_triton", lambda *tensors: is_triton)
    return request.param


def draw(*shape, seed=0, device=None, factor=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(device) * factor


def draw_operands(shape, device):
    num_rows, num_outputs, num_inputs = shape
    generator = torch.Generator().manual_seed(num_rows)

    def integers(count):
        return torch.randint(
            -127, 128, (count, num_inputs), dtype=torch.int8, generator=generator
        ).to(device)

    x = Int8Rows(data=integers(num_rows), scale=draw(num_rows, 1, seed=1, device=device).abs())
    weight = Int8Weight(
        data=integers(num_outputs), scale=draw(1, num_outputs, seed=2, device=device).abs() / 1e4
    )
    return x, weight, draw(num_outputs, seed=3, device=device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5, 48), (3, 64), (4, 80)])
def test_rows_are_the_nearest_integers(use, device, dtype, shape):
    x = draw(*shape, device=device, factor=3).to(dtype)
    x[1] *= 1000
    x[2] = 0
    rows = int8.int8_rows(x)
    assert rows.data.dtype == torch.int8
    assert rows.data.shape == shape
    assert rows.scale.shape == (shape[0], 1)
    assert (rows.data.abs().amax(dim=1)[[0, 1]] == 127).all()
    assert not rows.data[2].any()
    difference = (int8.int8_values(rows) - x.float()).abs()
    assert (difference <= rows.scale * 0.5001).all()


@pytest.mark.parametrize("width", [16, 48, 64, 300])
def test_rows_of_the_kernel_are_the_references_bit_for_bit(device, width):
    x = draw(40, width, seed=width, device=device).to(torch.bfloat16)
    x[0] = torch.arange(width) - width // 2
    x[1] = torch.arange(width) % 255 / 2  # halfway between integers
    x[1, 0] = 127
    found, expected = int8._triton().int8_rows(x), int8.int8_rows_reference(x)
    assert torch.equal(found.data, expected.data)
    assert torch.equal(found.scale, expected.scale)


def test_rows_may_be_a_slice(use, device):
    x = draw(6, 96, device=device)
    found, expected = int8.int8_rows(x[:, 32:64]), int8.int8_rows(x[:, 32:64].clone())
    assert torch.equal(found.data, expected.data)
    assert torch.equal(found.scale, expected.scale)


@pytest.mark.parametrize("name", TILES)
@pytest.mark.parametrize("shape", [(70, 80, 96), (1, 32, 48)])
def test_products_are_exact(device, name, shape):
    x, weight, _ = draw_operands(shape, device)
    expected = x.data.cpu().long() @ weight.data.cpu().long().t()
    assert torch.equal(int8.int8_product(x, weight, tiles=TILES[name]).cpu().long(), expected)
    assert torch.equal(int8.int8_product_reference(x, weight).cpu().long(), expected)


def test_the_largest_sums_are_exact(device):
    x = Int8Rows(
        data=torch.full((2, 8960), -127, dtype=torch.int8, device=device),
        scale=torch.ones(2, 1, device=device),
    )
    weight = Int8Weight(
        data=torch.full((16, 8960), 127, dtype=torch.int8, device=device),
        scale=torch.ones(1, 16, device=device),
    )
    tiles = dataclasses.replace(SMALL, block_k=1024)
    for product in (
        int8.int8_product(x, weight, tiles=tiles),
        int8.int8_product_reference(x, weight),
    ):
        assert (product == -127 * 127 * 8960).all()


@pytest.mark.parametrize("is_gelu", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("name", ["pointers", "halves"])
def test_linear_is_the_reference(device, name, has_bias, is_gelu):
    x, weight, bias = draw_operands((70, 80, 96), device)
    bias = bias if has_bias else None
    found, expected = (
        run(x, weight, bias, out_dtype=torch.float32, is_gelu=is_gelu, **options)
        for run, options in (
            (int8.int8_linear, {"tiles": TILES[name]}),
            (int8.int8_linear_reference, {}),
        )
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("out_dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_linear_is_near_the_exact_one(use, device, out_dtype):
    x, weight = draw(24, 256, device=device), draw(48, 256, seed=1, device=device, factor=0.06)
    bias = draw(48, seed=2, device=device)
    out = int8.int8_linear(int8.int8_rows(x), int8.int8_weight(weight), bias, out_dtype=out_dtype)
    assert out.dtype == out_dtype
    expected = F.linear(x, weight, bias)
    assert (out.float() - expected).norm() / expected.norm() < 0.012


PAIR_TILES = {name: dataclasses.replace(tiles, block_m=128) for name, tiles in TILES.items()}


@pytest.mark.parametrize("is_gelu", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("name", PAIR_TILES)
@pytest.mark.parametrize("num_pairs", [3, 64, 150])
def test_linear_of_pairs(device, name, num_pairs, has_bias, is_gelu):
    first, second = (draw(num_pairs, 96, seed=seed, device=device) for seed in (5, 6))
    x = int8.int8_pairs_reference(first, second)
    _, weight, bias = draw_operands((1, 80, 96), device)
    bias = bias if has_bias else None
    options = {"out_dtype": torch.float32, "is_gelu": is_gelu}
    found = int8.int8_linear_pairs(x, weight, bias, tiles=PAIR_TILES[name], **options)
    expected = int8.int8_linear_pairs_reference(x, weight, bias, **options)
    largest = expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-5 * largest)
    exact = F.linear(torch.cat((first, second)), int8.int8_values(weight), bias)
    exact = F.gelu(exact, approximate="tanh") if is_gelu else exact
    assert (found - exact).norm() < 0.02 * exact.norm()


def test_pairs_keep_a_small_difference(use, device):
    first = draw(20, 64, device=device)
    second = first + draw(20, 64, seed=1, device=device, factor=1e-3)
    _, weight, _ = draw_operands((1, 32, 64), device)
    out = int8.int8_linear_pairs(
        int8.int8_pairs_reference(first, second), weight, out_dtype=torch.float32
    )
    expected = F.linear(first - second, int8.int8_values(weight))
    assert (out[:20] - out[20:] - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("found", [(9, 0), (8, 0)])
def test_tiles_of_pairs_have_128_rows(found, monkeypatch):
    monkeypatch.setattr(int8, "capability", lambda device: found)
    for num_rows in (128, 65536):
        x = Int8Pairs(
            data=torch.empty(num_rows, 1536, device="meta"), scale=torch.empty(2, num_rows // 2)
        )
        weight = Int8Weight(data=torch.empty(4608, 1536, device="meta"), scale=torch.empty(0))
        tiles = int8.default_pair_tiles(x, weight)
        assert tiles.block_m == 128
        assert (tiles == int8.MANY_ROWS) == (found == (9, 0) and num_rows > 128)


def test_a_weight_has_a_scale_an_output(use, device):
    weight = draw(32, 48, device=device) * torch.arange(1, 33, device=device)[:, None]
    rounded = int8.int8_weight(weight)
    assert rounded.scale.shape == (1, 32)
    assert ((int8.int8_values(rounded) - weight).abs() <= rounded.scale.t() * 0.5001).all()


def test_no_rows(use, device):
    _, weight, bias = draw_operands((1, 32, 48), device)
    rows = int8.int8_rows(torch.empty(0, 48, device=device))
    assert int8.int8_linear(rows, weight, bias).shape == (0, 32)


@pytest.mark.parametrize(
    ("shape", "tiles"),
    [
        ((32760, 1536, 1536), int8.MANY_ROWS),
        ((32760, 1536, 8960), int8.MANY_INPUTS),
        ((1560, 4608, 1536), int8.FEW_ROWS),
        ((64, 2560, 16), int8.SMALL_TILES),
    ],
)
def test_tiles_follow_the_shape_on_hopper_alone(shape, tiles, monkeypatch):
    num_rows, num_outputs, num_inputs = shape
    x = Int8Rows(data=torch.empty(num_rows, num_inputs, device="meta"), scale=torch.empty(0))
    weight = Int8Weight(
        data=torch.empty(num_outputs, num_inputs, device="meta"), scale=torch.empty(0)
    )
    monkeypatch.setattr(int8, "capability", lambda device: (9, 0))
    assert int8.default_tiles(x, weight) == tiles
    monkeypatch.setattr(int8, "capability", lambda device: (8, 9))
    assert int8.default_tiles(x, weight) == int8.SMALL_TILES


def test_the_rotation_is_orthogonal_and_its_own_inverse():
    matrix = int8.rotate(torch.eye(128))
    torch.testing.assert_close(matrix @ matrix.t(), torch.eye(128))
    torch.testing.assert_close(int8.rotate(matrix), torch.eye(128))
    assert not matrix[:16, 16:].any()
    assert (matrix[:16, :16].abs() == 1 / 4).all()


def test_rotating_refuses_other_widths():
    with pytest.raises(ValueError, match="blocks of 16"):
        int8.rotate(torch.zeros(2, 40))


def test_with_outlier_channels_a_turned_linear_loses_under_four_percent(use, device):
    x, weight = draw(64, 256, device=device), draw(96, 256, seed=1, device=device, factor=0.06)
    x[:, [3, 70, 200]] *= 30
    expected = F.linear(x, weight)

    def error(rows, rounded):
        found = int8.int8_linear(rows, rounded, out_dtype=torch.float32)
        return ((found - expected).norm() / expected.norm()).item()

    turned = error(int8.int8_rows(int8.rotate(x)), int8.int8_weight(weight, is_rotated=True))
    assert turned < 0.04
    # Where the outliers' own weights are small, as training makes them, the rest is what counts.
    weight[:, [3, 70, 200]] /= 30
    expected = F.linear(x, weight)
    turned = error(int8.int8_rows(int8.rotate(x)), int8.int8_weight(weight, is_rotated=True))
    assert turned < error(int8.int8_rows(x), int8.int8_weight(weight)) / 2


@pytest.mark.parametrize("shape", [(24, 48), (48, 24)])
def test_refuses_widths_that_the_hardware_does_not_take(device, shape):
    x, weight, _ = draw_operands((4, *shape), device)
    with pytest.raises(ValueError, match="multiples of 16"):
        int8.int8_linear(x, weight)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(32760, 1536, 1536), (1560, 8960, 1536), (4099, 1536, 8960)])
@pytest.mark.parametrize("tiles", [*int8.CONFIGS, int8.SMALL_TILES], ids=str)
def test_products_of_full_size_are_exact(shape, tiles):
    x, weight, _ = draw_operands(shape, torch.device("cuda"))
    product = int8.int8_product(x, weight, tiles=tiles)
    assert torch.equal(product, int8.int8_product_reference(x, weight))
