"""Floors: known totals of the full-size models, and torch's own counter on tiny ones."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ourvidz.bench import floors
from ourvidz.bench.floors import Ceilings, Kind, Part, Precision, Work, floor_s
from ourvidz.bench.records import BenchmarkResult, new_record
from ourvidz.checkpoints import configs
from ourvidz.core.errors import InvalidRequest
from ourvidz.core.request import Fidelity
from ourvidz.models.wan.config import WanGeometry

TERA = 1e12
FULL_WAN = WanGeometry.from_configs(transformer=configs.WAN_TRANSFORMER, vae=configs.WAN_VAE)
CLIP = {"num_frames": 81, "height": 832, "width": 480}


def tiny(family, name):
    spec = configs.family_spec(family, "tiny")
    return next(item.config for item in spec.components if item.name == name)


def counted(run):
    """Return torch's count of a call on the meta device: no arithmetic is done."""
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), counter:
        run()
    return counter.get_total_flops()


def test_the_full_size_wan_forward_has_its_known_parts():
    assert FULL_WAN.num_tokens(**CLIP) == 32760
    work = floors.wan_forward(configs.WAN_TRANSFORMER, FULL_WAN, **CLIP)
    parts = {name: flops / TERA for name, flops in work.flops_by_name().items()}
    assert parts["self-attention"] == pytest.approx(197.8, abs=0.05)
    assert parts["linears"] == pytest.approx(81.9, abs=0.05)
    assert parts["cross attention"] == pytest.approx(3.1, abs=0.05)
    assert work.flops / TERA == pytest.approx(283, abs=0.1)


def test_other_full_size_totals_are_the_known_ones():
    vae = floors.wan_vae_decode(
        configs.WAN_VAE, num_latent_frames=21, latent_height=104, latent_width=60
    )
    assert vae.flops / TERA == pytest.approx(275, abs=0.5)
    unet = floors.sdxl_unet(configs.SDXL_UNET, latent_height=128, latent_width=128, batch=12)
    assert unet.flops / TERA == pytest.approx(81, abs=0.2)
    assert 2 * floors.qwen_weights(configs.QWEN_7B) / 1e9 == pytest.approx(15.2, abs=0.05)
    a_token = floors.qwen_token(configs.QWEN_7B, context_tokens=0)
    table = configs.QWEN_7B["vocab_size"] * configs.QWEN_7B["hidden_size"]
    assert a_token.weights == pytest.approx(floors.qwen_weights(configs.QWEN_7B) - table, rel=1e-4)


def test_wan_forward_is_what_torch_counts():
    from diffusers import WanTransformer3DModel

    config = tiny("wan", "transformer")
    geometry = WanGeometry.from_configs(transformer=config, vae=tiny("wan", "vae"))
    with torch.device("meta"):
        model = WanTransformer3DModel.from_config(config).requires_grad_(False)
    text = torch.empty(2, 24, config["text_dim"], device="meta")

    def run():
        latents = torch.empty(2, config["in_channels"], 2, 4, 6)
        model(latents, torch.zeros(2, dtype=torch.long), text, return_dict=False)

    work = floors.wan_forward(
        config, geometry, num_frames=5, height=32, width=48, text_tokens=24, batch=2
    )
    assert work.flops == counted(run)


@pytest.mark.parametrize("num_latent_frames", [1, 3])
def test_wan_vae_decode_is_what_torch_counts(num_latent_frames):
    from diffusers import AutoencoderKLWan

    config = tiny("wan", "vae")
    with torch.device("meta"):
        vae = AutoencoderKLWan.from_config(config).requires_grad_(False)
    latents = torch.empty(1, config["z_dim"], num_latent_frames, 4, 6, device="meta")
    work = floors.wan_vae_decode(
        config, num_latent_frames=num_latent_frames, latent_height=4, latent_width=6
    )
    assert work.flops == counted(lambda: vae.decode(latents, return_dict=False))


def test_sdxl_unet_is_what_torch_counts():
    from diffusers import UNet2DConditionModel

    config = tiny("sdxl", "unet")
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config).requires_grad_(False)

    def run():
        added = config["projection_class_embeddings_input_dim"]
        ids = 6 * config["addition_time_embed_dim"]
        unet(
            torch.empty(2, config["in_channels"], 16, 24),
            torch.zeros(2, dtype=torch.long),
            torch.empty(2, 77, config["cross_attention_dim"]),
            added_cond_kwargs={
                "text_embeds": torch.empty(2, added - ids),
                "time_ids": torch.empty(2, 6),
            },
            return_dict=False,
        )

    work = floors.sdxl_unet(config, latent_height=16, latent_width=24, batch=2)
    assert work.flops == counted(run)


def test_sdxl_vae_decode_is_what_torch_counts():
    from diffusers import AutoencoderKL

    config = tiny("sdxl", "vae")
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(config).requires_grad_(False)
    latents = torch.empty(2, config["latent_channels"], 4, 6, device="meta")
    work = floors.sdxl_vae_decode(config, latent_height=4, latent_width=6, batch=2)
    assert work.flops == counted(lambda: vae.decode(latents, return_dict=False))


def test_qwen_weights_are_the_modules():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = tiny("qwen", "")
    for tied in (False, True):
        changed = {**config, "tie_word_embeddings": tied}
        with torch.device("meta"):
            model = Qwen2ForCausalLM(Qwen2Config.from_dict(changed))
        expected = sum(parameter.numel() for parameter in model.parameters())
        assert floors.qwen_weights(changed) == expected


# ------------------------------------------------------------------------------------- the floor

RATES = {
    (Kind.MATMUL, Precision.BF16): 100.0,
    (Kind.MATMUL, Precision.EIGHT_BIT): 200.0,
    (Kind.ATTENTION, Precision.BF16): 50.0,
    (Kind.CONVOLUTION, Precision.BF16): 80.0,
    (Kind.MEMORY, Precision.BYTES): 10.0,
}
CEILINGS = Ceilings(rates=RATES)


def part(kind, **values):
    return Work(parts=(Part(name="part", kind=kind, **values),))


def test_each_part_is_taken_at_its_own_ceiling():
    work = part(Kind.MATMUL, flops=1000) + part(Kind.ATTENTION, flops=500, count=2)
    assert floor_s(work, CEILINGS) == pytest.approx(1000 / 100 + 1000 / 50)
    assert floor_s(work.times(3), CEILINGS) == pytest.approx(3 * 30)


def test_bytes_bound_a_part_with_little_arithmetic():
    work = part(Kind.MATMUL, flops=1000, weights=200)
    assert floor_s(work, CEILINGS) == pytest.approx(200 * 2 / 10)  # 16 bits an element
    assert floor_s(work, CEILINGS, Fidelity.HIGH) == pytest.approx(200 / 10)


def test_high_takes_8_bit_only_where_it_may_and_where_it_pays():
    products = part(Kind.MATMUL, flops=1000)
    assert floor_s(products, CEILINGS, Fidelity.HIGH) == pytest.approx(5)
    convolutions = part(Kind.CONVOLUTION, flops=800)
    assert floor_s(convolutions, CEILINGS, Fidelity.HIGH) == pytest.approx(10)
    slow = Ceilings(rates={**RATES, (Kind.ATTENTION, Precision.EIGHT_BIT): 25.0})
    attention = part(Kind.ATTENTION, flops=500)
    assert floor_s(attention, slow, Fidelity.HIGH) == floor_s(attention, slow)


def test_a_machine_without_16_bits_computes_in_float32():
    ceilings = Ceilings(rates={(Kind.MATMUL, Precision.FP32): 10.0, **_copies()})
    assert floor_s(part(Kind.MATMUL, flops=100), ceilings) == pytest.approx(10)


def _copies():
    return {(Kind.MEMORY, Precision.BYTES): 1e9, (Kind.DISK, Precision.BYTES): 5.0}


def test_loading_is_bound_by_the_disk():
    assert floor_s(floors.load(100), Ceilings(rates=_copies())) == pytest.approx(20)


def test_a_ceiling_that_was_not_measured_is_an_error_that_says_so():
    with pytest.raises(InvalidRequest, match="disk"):
        floor_s(floors.load(100), CEILINGS)


def test_full_size_video_floor_is_the_known_one():
    rates = {
        (Kind.MATMUL, Precision.BF16): 751e12,
        (Kind.ATTENTION, Precision.BF16): 591e12,
        (Kind.MEMORY, Precision.BYTES): 4.2e12,
    }
    forward = floors.wan_forward(configs.WAN_TRANSFORMER, FULL_WAN, **CLIP, has_text=False)
    assert floor_s(forward.times(50), Ceilings(rates=rates)) == pytest.approx(22.5, abs=0.1)


def test_ceilings_come_from_a_record_the_best_of_each_kind(monkeypatch):
    results = [
        BenchmarkResult(
            case=case, system="torch", fidelity=precision, metric="rate", value=value,
            unit="FLOP/s", n=3,
        )
        for case, precision, value in (
            ("matmul.8192", "bf16", 7.0),
            ("matmul.wan", "bf16", 9.0),
            ("memory.copy", "bytes", 4.0),
        )
    ]  # fmt: skip
    from datetime import UTC, datetime

    now = datetime(2026, 1, 1, tzinfo=UTC)
    ceilings = Ceilings.from_record(new_record(floors.LIMITS_SUITE, results, now=now))
    assert ceilings.rate(Kind.MATMUL, Precision.BF16) == 9.0
    with pytest.raises(InvalidRequest, match="peers"):
        Ceilings.from_record(new_record("peers", results, now=now))


# -------------------------------------------------------------------------------- another machine


def test_a_run_at_the_floor_scales_with_the_published_tensor_rates():
    work = part(Kind.MATMUL, flops=989_500_000_000_000)
    here = Ceilings(rates={**floors.PUBLISHED["h200"].rates, (Kind.MATMUL, Precision.BF16): 500e12})
    least_s = floor_s(work, here)
    found = floors.modelled(work, seconds=(least_s,) * 3, ceilings=here, here="h200", there="l40s")
    assert found.value == pytest.approx(least_s * 989.5 / 362.05)
    assert found.low == pytest.approx(found.high)


def test_time_above_the_floor_opens_the_interval():
    work = part(Kind.MATMUL, flops=10**15)
    here = floors.PUBLISHED["h200"]
    least_s = floor_s(work, here)
    found = floors.modelled(
        work,
        seconds=(least_s + 1.0, least_s + 0.9, least_s + 1.1),
        ceilings=here,
        here="h200",
        there="l40s",
    )
    by_tensors, by_memory = 989.5 / 362.05, 4.8 / 0.864
    assert found.low == pytest.approx((least_s + 0.9) * by_tensors)
    assert found.high == pytest.approx(least_s * by_tensors + 1.1 * by_memory)
    assert found.low < found.value < found.high


def test_a_card_without_a_data_sheet_is_refused():
    with pytest.raises(InvalidRequest, match="abacus"):
        floors.modelled(
            part(Kind.MATMUL, flops=1), seconds=(1.0,) * 3, ceilings=CEILINGS, here="h200",
            there="abacus",
        )  # fmt: skip
