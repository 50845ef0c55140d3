import json
from importlib.resources import files

import pytest

from ourvidz.bench import floors
from ourvidz.checkpoints import configs
from ourvidz.models.wan.config import WanGeometry
from ourvidz.perf.prediction.features import Group, load_of
from ourvidz.perf.prediction.prior import (
    coefficients,
    cpu_rates,
    local_rates,
    rates_of,
    work_of,
)
from tests.perf.prediction.simulated import workload


def shipped(path):
    return json.loads(files("ourvidz").joinpath("weights", path, "config.json").read_text())


def work(model, family):
    return work_of(load_of(workload(model=model, family=family)))


@pytest.mark.parametrize(
    ("model", "transformer", "vae", "text_tokens"),
    [
        ("wan2.1-t2v-1.3b", configs.WAN_TRANSFORMER, configs.WAN_VAE, 512),
        (
            "pocket-video",
            shipped("pocket-video/transformer"),
            shipped("pocket-video/vae"),
            96,
        ),
    ],
)
def test_the_video_models_work_is_what_the_floors_count(model, transformer, vae, text_tokens):
    geometry = WanGeometry.from_configs(transformer=transformer, vae=vae)
    clip = {"num_frames": 81, "height": 832, "width": 480}
    counted = floors.wan_forward(
        transformer, geometry, **clip, text_tokens=text_tokens, has_text=False
    )
    tokens = load_of(workload()).tokens
    assert tokens == geometry.num_tokens(**clip)
    told = work(model, "wan")
    expected = told.flops_a_token * tokens + told.flops_a_pair * tokens**2
    assert expected == pytest.approx(counted.flops, rel=0.01)
    decoded = floors.wan_vae_decode(vae, num_latent_frames=21, latent_height=104, latent_width=60)
    assert told.flops_a_pixel * 81 * 832 * 480 == pytest.approx(decoded.flops, rel=0.02)


@pytest.mark.parametrize(
    ("model", "unet", "vae", "side"),
    [
        ("sdxl-base-1.0", configs.SDXL_UNET, configs.SDXL_VAE, 128),
        ("pocket-image", shipped("pocket-image/unet"), shipped("pocket-image/vae"), 16),
    ],
)
def test_the_image_models_work_is_what_the_floors_count(model, unet, vae, side):
    counted = floors.sdxl_unet(unet, latent_height=side, latent_width=side, batch=1)
    told = work(model, "sdxl")
    positions = side * side
    expected = told.flops_a_token * positions + told.flops_a_pair * positions**2
    assert expected == pytest.approx(counted.flops, rel=0.02)
    decoded = floors.sdxl_vae_decode(vae, latent_height=side, latent_width=side, batch=1)
    assert told.flops_a_pixel * 64 * positions == pytest.approx(decoded.flops, rel=0.02)


def test_an_unknown_model_has_the_work_of_its_family():
    assert work("my-own", "sdxl") == work("sdxl-base-1.0", "sdxl")


def test_a_gpu_is_found_by_its_name_and_a_cpu_by_its_cores():
    assert rates_of({"gpu": "NVIDIA H200"}).matmul_flops_s == 989.5e12
    assert rates_of({"gpu": "Some GPU of 2031"}).is_gpu
    assert rates_of({"cpu_cores": 8}) == cpu_rates(8)
    assert local_rates("cpu").matmul_flops_s > 0


@pytest.mark.parametrize("group", list(Group))
@pytest.mark.parametrize("state", ["cold", "warm", "resident"])
def test_every_group_has_a_coefficient_a_feature(group, state):
    load = load_of(workload(enhancer="qwen2.5-7b-instruct"))
    found = coefficients(load, group, cpu_rates(4), state=state)
    assert len(found) == len(load.features(group))
    assert all(value > 0 for value in found)
