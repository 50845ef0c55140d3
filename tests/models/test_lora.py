"""LoRA files: every style to the same weights, fused as by hand, taken out bit for bit."""

import copy
import gc
import re

import pytest
import torch
from safetensors.torch import save_file

from ourvidz.checkpoints.locate import SHIPPED_WEIGHTS
from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import Cancelled, CheckpointInvalid, ModelMissing
from ourvidz.models import lora as lora_module
from ourvidz.models.lora import fuse, fused_copy, read_lora
from ourvidz.models.sdxl import load as sdxl_load
from ourvidz.models.wan import load as wan_load
from tests.checkpoints import original_names

RANK = 2


class Tiny(torch.nn.Module):
    def __init__(self, dtype=torch.float32):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Linear(4, 6)
        self.inner = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Conv2d(5, 2, 1))
        self.norm = torch.nn.LayerNorm(6)
        self.table = torch.nn.Parameter(torch.randn(1, 3))
        self.register_buffer("counts", torch.arange(3))
        self.to(dtype).requires_grad_(False)


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def write(path, tensors):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_same_bits(module, before):
    after = module.state_dict()
    assert after.keys() == before.keys()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name


FIRST = {"first.lora_A.weight": random(RANK, 4), "first.lora_B.weight": random(6, RANK)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_fused_weights_are_the_sum_by_hand_and_come_out_bit_for_bit(tmp_path, dtype):
    module = Tiny(dtype)
    before = weights(module)
    tensors = {
        **FIRST,
        "first.alpha": torch.tensor(3.0),
        "first.diff_b": random(6),
        "norm.diff": random(6),
        "table.diff": random(1, 3),
        "inner.0.lora_down.weight": random(RANK, 3, 3, 3),
        "inner.0.lora_up.weight": random(5, RANK, 1, 1),
        "inner.1.diff": random(2, 5, 1, 1),
    }
    lora = read_lora(write(tmp_path / "a.safetensors", tensors), module)
    storage = module.first.weight.data_ptr()
    fused = fuse(module, [(lora, 0.5)])
    up, down = FIRST["first.lora_B.weight"], FIRST["first.lora_A.weight"]
    conv = torch.einsum(
        "orxy,rihw->oihw", tensors["inner.0.lora_up.weight"], tensors["inner.0.lora_down.weight"]
    )
    deltas = {
        "first.weight": 3.0 / RANK * up @ down,
        "first.bias": tensors["first.diff_b"],
        "norm.weight": tensors["norm.diff"],
        "table": tensors["table.diff"],
        "inner.0.weight": conv,
        "inner.1.weight": tensors["inner.1.diff"],
    }
    assert set(fused.names) == set(deltas)
    for name, tensor in module.state_dict().items():
        expected = before[name]
        if name in deltas:
            expected = (before[name].float() + 0.5 * deltas[name]).to(dtype)
            assert not torch.equal(tensor, before[name])
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-6)
    assert module.first.weight.data_ptr() == storage
    fused.unfuse()
    assert_same_bits(module, before)
    fused.unfuse()
    assert_same_bits(module, before)


def test_several_are_summed_before_rounding_and_one_after_another_is_refused(tmp_path):
    module = Tiny(torch.bfloat16)
    before = weights(module)
    first = read_lora(write(tmp_path / "a.safetensors", FIRST), module)
    second = read_lora(write(tmp_path / "b.safetensors", {"first.diff": random(6, 4)}), module)
    fused = fuse(module, [(first, 1.0), (second, -0.25)])
    delta = FIRST["first.lora_B.weight"] @ FIRST["first.lora_A.weight"] - 0.25 * random(6, 4)
    expected = (before["first.weight"].float() + delta).bfloat16()
    assert torch.equal(module.first.weight, expected)
    with pytest.raises(AssertionError, match="take the fused"):
        fuse(module, [(second, 1.0)])
    fused.unfuse()
    fuse(module, [(second, 1.0)]).unfuse()
    assert_same_bits(module, before)


def test_a_copy_has_them_and_the_base_stays_and_shares_the_rest(tmp_path):
    module = Tiny(torch.bfloat16)
    before = weights(module)
    lora = read_lora(write(tmp_path / "a.safetensors", FIRST), module)
    made = fused_copy(module, [(lora, 1.0)])
    assert_same_bits(module, before)
    fused = fuse(module, [(lora, 1.0)])
    assert_same_bits(made, weights(module))
    fused.unfuse()
    assert made.first.weight.data_ptr() != module.first.weight.data_ptr()
    assert made.first.bias.data_ptr() == module.first.bias.data_ptr()
    assert made.inner[0].weight.data_ptr() == module.inner[0].weight.data_ptr()
    assert made.counts.data_ptr() == module.counts.data_ptr()
    assert not made.first.weight.requires_grad
    assert made.first(torch.ones(1, 4).bfloat16()).shape == (1, 6)


def test_a_failure_half_way_leaves_the_base(tmp_path, monkeypatch):
    module = Tiny()
    before = weights(module)
    tensors = {**FIRST, "norm.diff": random(6)}
    lora = read_lora(write(tmp_path / "a.safetensors", tensors), module)
    original = lora_module._fused_values

    def fail_at_norm(parameter, name, loras):
        if name == "norm.weight":
            raise torch.OutOfMemoryError
        return original(parameter, name, loras)

    monkeypatch.setattr(lora_module, "_fused_values", fail_at_norm)
    with pytest.raises(torch.OutOfMemoryError):
        fuse(module, [(lora, 1.0)])
    assert_same_bits(module, before)
    monkeypatch.undo()
    fuse(module, [(lora, 1.0)]).unfuse()
    assert_same_bits(module, before)


def test_a_fused_module_can_go():
    module = Tiny()
    lora_module._fused.add(module)
    del module
    gc.collect()
    assert len(lora_module._fused) == 0


REFUSED = {
    "unknown": ({"second.lora_A.weight": random(2, 4)}, "'second.lora_A.weight', for which"),
    "many": (
        {f"x{i}.diff": random(2) for i in range(5)},
        r"'x0.diff', 'x1.diff', 'x2.diff' and 2 more, for which",
    ),
    "dora": ({**FIRST, "first.dora_scale": random(6)}, "'first.dora_scale', for which"),
    "text encoder": (
        {"lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha": random(1)},
        "changes a text encoder, which is not supported: 'lora_te1_text",
    ),
    "half": ({"first.lora_A.weight": random(2, 4)}, "only down for 'first': half"),
    "alpha alone": ({"first.alpha": random(1)}, "only alpha for 'first'"),
    "alpha of many": ({**FIRST, "first.alpha": random(2)}, "alpha of 'first' is not one"),
    "down": ({**FIRST, "first.lora_A.weight": random(2, 5)}, r"\(6, 4\), by \(6, 2\) x \(2, 5\)"),
    "up": ({**FIRST, "first.lora_B.weight": random(5, 2)}, r"\(6, 4\), by \(5, 2\) x \(2, 4\)"),
    "rank": ({**FIRST, "first.lora_B.weight": random(6, 3)}, r"by \(6, 3\) x \(2, 4\)"),
    "diff": ({"first.diff": random(4, 6)}, r"'first.weight', of shape \(6, 4\), by \(4, 6\)"),
    "bias": ({"first.diff_b": random(5)}, r"'first.bias', of shape \(6,\), by \(5,\)"),
    "low rank of a vector": (
        {"norm.lora_A.weight": random(2, 6), "norm.lora_B.weight": random(6, 2)},
        "'norm.weight'",
    ),
    "twice": (
        {**FIRST, "transformer.first.lora_A.weight": random(2, 4)},
        "down of 'first' twice, once as 'transformer.first.lora_A.weight'",
    ),
    "nothing": ({}, "nothing that changes weights"),
}


@pytest.mark.parametrize(("tensors", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_place_is_refused_by_name(tmp_path, tensors, message):
    module = Tiny()
    before = weights(module)
    with pytest.raises(CheckpointInvalid, match=message):
        read_lora(write(tmp_path / "a.safetensors", tensors), module)
    assert_same_bits(module, before)


def test_a_bias_that_is_not_there_is_refused(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(4, 6, bias=False))
    with pytest.raises(CheckpointInvalid, match=r"'0\.bias', which is not here"):
        read_lora(write(tmp_path / "a.safetensors", {"0.diff_b": random(6)}), module)


def test_files_that_are_no_safetensors(tmp_path):
    with pytest.raises(ModelMissing):
        read_lora(tmp_path / "none.safetensors", Tiny())
    (tmp_path / "a.pt").write_bytes(b"")
    with pytest.raises(CheckpointInvalid, match="may hold code"):
        read_lora(tmp_path / "a.pt", Tiny())
    (tmp_path / "a.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(CheckpointInvalid, match="truncated"):
        read_lora(tmp_path / "a.safetensors", Tiny())


def test_a_lora_of_another_module_is_refused_before_anything_changes(tmp_path):
    lora = read_lora(write(tmp_path / "a.safetensors", FIRST), Tiny())
    other = torch.nn.ModuleDict({"first": torch.nn.Linear(5, 6)})
    before = weights(other)
    with pytest.raises(CheckpointInvalid, match=r"\(6, 5\)"):
        fuse(other, [(lora, 1.0)])
    with pytest.raises(CheckpointInvalid, match="not here"):
        fused_copy(torch.nn.Linear(4, 6), [(lora, 1.0)])
    assert_same_bits(other, before)


def test_reading_can_be_cancelled(tmp_path):
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        read_lora(write(tmp_path / "a.safetensors", FIRST), Tiny(), cancel=cancel)


# ------------------------------------------------------------------- the architectures' own names


@pytest.fixture(scope="module")
def wan():
    return wan_load.load_transformer(
        SHIPPED_WEIGHTS / "pocket-video/transformer", device="cpu", dtype=torch.bfloat16
    )


@pytest.fixture(scope="module")
def unet():
    return sdxl_load.load_unet(
        SHIPPED_WEIGHTS / "pocket-image/unet", device="cpu", dtype=torch.float16
    )


def matrices(module):
    """The modules with a weight of two or more dimensions, by name."""
    return {
        name: owner.weight
        for name, owner in module.named_modules()
        if isinstance(getattr(owner, "weight", None), torch.Tensor) and owner.weight.ndim >= 2
    }


def low_rank(module, *, down="lora_A", up="lora_B", alpha=None):
    """A LoRA of every matrix of a module, by the module's own names."""
    tensors = {}
    for seed, (name, weight) in enumerate(matrices(module).items()):
        generator = torch.Generator().manual_seed(seed)
        out, *rest = weight.shape
        tensors[f"{name}.{down}.weight"] = torch.randn(RANK, *rest, generator=generator) * 0.1
        ones = [1] * (len(rest) - 1)
        tensors[f"{name}.{up}.weight"] = torch.randn(out, RANK, *ones, generator=generator) * 0.1
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(alpha)
    return tensors


def wan_original(tensors):
    return {
        f"diffusion_model.{name}": tensor
        for name, tensor in original_names.wan_transformer(tensors).items()
    }


def kohya(tensors, prefix="lora_unet_"):
    """Module names with underscores for dots, as kohya's and musubi's trainers write them."""
    renamed = {}
    for key, tensor in tensors.items():
        name, part = re.fullmatch(r"(.+)\.(lora_\w+\.weight|alpha|diff\w*)", key).groups()
        renamed[f"{prefix}{name.replace('.', '_')}.{part}"] = tensor
    return renamed


def with_prefix(prefix):
    return lambda tensors: {f"{prefix}{key}": tensor for key, tensor in tensors.items()}


STYLES = {
    "own names": lambda tensors: tensors,
    "diffusers": with_prefix("transformer."),
    "peft": with_prefix("base_model.model."),
    "original": wan_original,
    "original, musubi": lambda t: kohya(original_names.wan_transformer(t)),
    "original, Fun": lambda t: kohya(original_names.wan_transformer(t), "lora_unet__"),
}


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES.keys())
@pytest.mark.parametrize(
    "parts", [{}, {"down": "lora_down", "up": "lora_up", "alpha": 1.0}], ids=["A B", "down up"]
)
def test_every_style_of_wan_changes_the_same_weights(tmp_path, wan, style, parts):
    tensors = low_rank(wan, **parts)
    reference = read_lora(write(tmp_path / "own.safetensors", tensors), wan)
    lora = read_lora(write(tmp_path / "a.safetensors", style(tensors)), wan)
    assert lora.changes.keys() == reference.changes.keys()
    assert len(lora.changes) == len(matrices(wan))
    before = weights(wan)
    expected = weights(fused_copy(wan, [(reference, 0.7)]))
    fused = fuse(wan, [(lora, 0.7)])
    assert_same_bits(wan, expected)
    assert not torch.equal(wan.blocks[0].attn1.to_q.weight, before["blocks.0.attn1.to_q.weight"])
    fused.unfuse()
    assert_same_bits(wan, before)


def test_whole_changes_of_every_parameter_of_wan_by_its_original_name(tmp_path, wan):
    """As extracted files have them: ``diff``, ``diff_b``, and modulation's ``diff_m``."""
    names = {"weight": "diff", "bias": "diff_b", "modulation": "diff_m"}
    tensors = {}
    for name, parameter in original_names.wan_transformer(dict(wan.named_parameters())).items():
        owner, _, attribute = name.rpartition(".")
        tensors[f"diffusion_model.{owner}.{names[attribute]}"] = torch.full(parameter.shape, 0.125)
    lora = read_lora(write(tmp_path / "a.safetensors", tensors), wan)
    assert lora.changes.keys() == dict(wan.named_parameters()).keys()
    made = fused_copy(wan, [(lora, 2.0)])
    for name, parameter in wan.named_parameters():
        expected = (parameter.float() + 0.25).to(parameter.dtype)
        assert torch.equal(made.get_parameter(name), expected), name


def test_wan_files_are_read_as_the_library_reads_them(tmp_path, wan):
    from diffusers.loaders.lora_conversion_utils import (
        _convert_non_diffusers_wan_lora_to_diffusers as convert,
    )

    # The library's converter knows these modules, and no patch embedding.
    known = low_rank(wan, down="lora_down", up="lora_up", alpha=1.0)
    known = {key: tensor for key, tensor in known.items() if not key.startswith("patch_emb")}
    known = {
        key: tensor
        for key, tensor in known.items()
        if not (key.endswith("alpha") and not key.startswith("blocks"))
    }
    original = wan_original(known)
    converted = convert({key: tensor.clone() for key, tensor in original.items()})  # it scales
    theirs = {key.removeprefix("transformer."): tensor for key, tensor in converted.items()}
    lora = read_lora(write(tmp_path / "a.safetensors", original), wan)
    downs = {key.removesuffix(".lora_A.weight") for key in theirs if "lora_A" in key}
    assert {name.removesuffix(".weight") for name in lora.changes} == downs
    for name in downs:
        shape = wan.get_submodule(name).weight.shape
        up, down = theirs[f"{name}.lora_B.weight"], theirs[f"{name}.lora_A.weight"]
        delta = lora.changes[f"{name}.weight"].delta(shape, torch.device("cpu"))
        torch.testing.assert_close(delta, (up @ down).reshape(shape), rtol=0, atol=1e-6)


def sdxl_like():
    """SDXL's structure: three levels of two layers, narrow."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        layers_per_block=2,
        attention_head_dim=4,
        cross_attention_dim=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=32,
        norm_num_groups=4,
        sample_size=8,
    ).requires_grad_(False)


def ldm(tensors):
    return original_names._unet(tensors)


@pytest.mark.parametrize(
    "style",
    [
        with_prefix("unet."),
        kohya,
        lambda tensors: kohya(ldm(tensors)),
        lambda tensors: with_prefix("diffusion_model.")(ldm(tensors)),
    ],
    ids=["diffusers", "kohya, diffusers' names", "kohya, SDXL's names", "SDXL's names"],
)
def test_every_style_of_sdxl_changes_the_same_weights(tmp_path, style):
    module = sdxl_like()
    tensors = low_rank(module, down="lora_down", up="lora_up", alpha=1.0)
    reference = read_lora(write(tmp_path / "own.safetensors", tensors), module)
    lora = read_lora(write(tmp_path / "a.safetensors", style(tensors)), module)
    assert lora.changes.keys() == reference.changes.keys()
    assert len(lora.changes) == len(matrices(module))
    expected = weights(fused_copy(module, [(reference, 1.0)]))
    before = weights(module)
    fused = fuse(module, [(lora, 1.0)])
    assert_same_bits(module, expected)
    fused.unfuse()
    assert_same_bits(module, before)


def test_the_pocket_unet_takes_one_and_gives_it_back(tmp_path, unet):
    lora = read_lora(write(tmp_path / "a.safetensors", kohya(low_rank(unet))), unet)
    before = weights(unet)
    made = fused_copy(unet, [(lora, 1.0)])
    fused = fuse(unet, [(lora, 1.0)])
    assert_same_bits(made, weights(unet))
    fused.unfuse()
    assert_same_bits(unet, before)


def test_a_fused_model_computes_with_the_sum(tmp_path, wan):
    """Fused weights give what the low-rank branch beside the layer gives."""
    module = copy.deepcopy(wan).float()
    layer = module.blocks[0].ffn.net[2]
    tensors = {
        "blocks.0.ffn.2.lora_down.weight": random(RANK, layer.in_features),
        "blocks.0.ffn.2.lora_up.weight": random(layer.out_features, RANK),
        "blocks.0.ffn.2.alpha": torch.tensor(4.0),
    }
    lora = read_lora(write(tmp_path / "a.safetensors", tensors), module)
    inputs = random(1, 7, layer.in_features)
    down, up = (tensors[f"blocks.0.ffn.2.lora_{part}.weight"] for part in ("down", "up"))
    expected = layer(inputs) + 0.3 * 4.0 / RANK * (inputs @ down.T) @ up.T
    made = fused_copy(module, [(lora, 0.3)])
    torch.testing.assert_close(made.blocks[0].ffn.net[2](inputs), expected, rtol=1e-4, atol=1e-4)
