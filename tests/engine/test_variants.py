"""LoRA models end to end: few steps, the base untouched, no second load."""

import json

import pytest
import torch
from safetensors.torch import save_file

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.models import Role
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import CheckpointInvalid, ConfigInvalid, InvalidRequest, ModelMissing
from ourvidz.core.event import FramesReady
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import GenerationRequest
from ourvidz.worker.assemble import assemble_worker

WAN = {"base": "wan2.1-t2v-1.3b", "few_step": "causvid-wan2.1-1.3b"}
SDXL = {"base": "sdxl-base-1.0", "few_step": "sdxl-lightning-4step"}
CASES = [
    ("image_fast", Role.VIDEO, WAN, "transformer", "blocks.0.attn1.to_q", {}),
    ("sdxl_image_fast", Role.IMAGE, SDXL, "unet", "conv_in", {"num_images": 1}),
]


def settings_of(tiny_settings, tmp_path, role, entry):
    return Settings(
        profile="full",
        models_dir=tiny_settings.models_dir,
        data_dir=tmp_path,
        device="cpu",
        models={"fast": {**entry, "lora": str(tmp_path / "lora.safetensors")}},
        use_models={role: "fast"},
    )


def ask(settings, job_type, **values):
    return resolve(
        catalogue=catalogue_of(settings),
        settings=settings,
        prompt="a red circle",
        seed=1,
        job_type=job_type,
        values={"width": 64, "height": 96, **values},
    )


def frames_of(engine, request):
    return b"".join(
        event.frames.tobytes()
        for event in engine.generate(
            request, recorder=SpanRecorder(SystemClock()), cancel=CancelToken()
        )
        if isinstance(event, FramesReady)
    )


def assemble(settings):
    return assemble_worker(
        settings=settings, catalogue=catalogue_of(settings), clock=SystemClock()
    ).engine


@pytest.mark.parametrize(("job_type", "role", "entry", "name", "layer", "values"), CASES)
def test_a_lora_model_and_its_base_take_turns_on_one_load(
    tiny_settings, tmp_path, job_type, role, entry, name, layer, values
):
    settings = settings_of(tiny_settings, tmp_path, role, entry)
    engine = assemble(settings)
    base_settings = settings.model_copy(update={"use_models": {}})
    few = ask(settings, job_type, **values)
    assert few.model == "fast"
    assert (few.num_inference_steps, few.guidance_scale) == (4 if role is Role.IMAGE else 3, 1.0)
    same_but_base = ask(base_settings, job_type, **values, num_inference_steps=2)
    before = frames_of(engine, same_but_base)
    module = engine._residency.find(entry["base"], name).module
    weight = module.get_submodule(layer).weight
    save_file({f"{layer}.diff": torch.full(weight.shape, 0.5)}, tmp_path / "lora.safetensors")
    kept = weight.clone()
    made = frames_of(engine, few)
    assert frames_of(engine, few) == made
    assert torch.equal(weight, kept)
    assert engine._residency.find(entry["base"], name).module is module
    assert engine._residency.find("fast", name) is None
    assert frames_of(engine, same_but_base) == before
    resident = engine.resident()
    assert resident["fast"] == resident[entry["base"]]
    save_file({f"{layer}.diff": torch.zeros(weight.shape)}, tmp_path / "lora.safetensors")
    assert engine.unload("fast") > 0  # the variant goes with its base
    assert frames_of(engine, few) != made
    engine.close()


def test_a_missing_or_wrong_lora_is_said(tiny_settings, tmp_path):
    settings = settings_of(tiny_settings, tmp_path, Role.VIDEO, WAN)
    engine, request = assemble(settings), ask(settings, "image_fast")
    with pytest.raises(ModelMissing, match=r"lora\.safetensors"):
        frames_of(engine, request)
    save_file({"nothing.diff": torch.zeros(1)}, tmp_path / "lora.safetensors")
    with pytest.raises(CheckpointInvalid, match=r"nothing\.diff"):
        frames_of(engine, request)
    engine.close()


def test_few_step_values_survive_the_queue_and_can_not_be_bent(tiny_settings, tmp_path):
    settings = settings_of(tiny_settings, tmp_path, Role.VIDEO, WAN)
    request = ask(settings, "video_fast")
    assert request.sigmas == (1.0, 0.757, 0.522)
    assert request.scheduler == "lcm"
    assert GenerationRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    for values in ({"num_inference_steps": 10}, {"scheduler": "euler"}, {"flow_shift": 3.0}):
        with pytest.raises(InvalidRequest, match="is fixed"):
            ask(settings, "video_fast", **values)
    assert ask(settings, "video_fast", num_inference_steps=3).sigmas


def test_configuration_says_what_is_wrong(tiny_settings, tmp_path):
    def catalogue(**entry):
        return catalogue_of(Settings(models={"fast": entry}))

    with pytest.raises(ConfigInvalid, match="is for wan, not sdxl"):
        catalogue(base="sdxl-base-1.0", few_step="causvid-wan2.1-1.3b")
    with pytest.raises(ConfigInvalid, match="can't be run yet"):
        catalogue(base="wan2.1-t2v-1.3b", few_step="fastwan2.1-1.3b")
    with pytest.raises(ConfigInvalid, match="Wan's weights only"):
        catalogue(base="sdxl-base-1.0", scheduler="lcm", num_inference_steps=4)
    with pytest.raises(ConfigInvalid, match="scheduler is missing"):
        catalogue(base="wan2.1-t2v-1.3b", lora="a.safetensors", num_inference_steps=4)
    model = catalogue(base="wan2.1-t2v-1.3b", few_step="causvid-wan2.1-1.3b", strength=0.5).model(
        "fast"
    )
    assert model.loras[0].strength == 0.5
    assert "NC" in model.license
