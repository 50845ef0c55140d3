"""Weights into modules: equal to from_pretrained, and loud about every kind of broken file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import Cancelled, CheckpointInvalid, ModelMissing
from ourvidz.models import reading
from ourvidz.models.loading import HostCopy, find_weight_files, weight_bytes
from ourvidz.models.qwen import load as qwen_load
from ourvidz.models.sdxl import load as sdxl_load
from ourvidz.models.wan import load as wan_load

COMPONENTS = {
    "wan/text_encoder": (wan_load.load_text_encoder, "UMT5EncoderModel"),
    "wan/transformer": (wan_load.load_transformer, "WanTransformer3DModel"),
    "wan/vae": (wan_load.load_vae, "AutoencoderKLWan"),
    "sdxl/text_encoder": (sdxl_load.load_text_encoder, "CLIPTextModel"),
    "sdxl/text_encoder_2": (sdxl_load.load_text_encoder_2, "CLIPTextModelWithProjection"),
    "sdxl/unet": (sdxl_load.load_unet, "UNet2DConditionModel"),
    "sdxl/vae": (sdxl_load.load_vae, "AutoencoderKL"),
    "qwen": (qwen_load.load_model, "Qwen2ForCausalLM"),
}
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def library_class(name: str) -> Any:
    import diffusers
    import transformers

    return getattr(transformers, name, None) or getattr(diffusers, name)


def from_pretrained(name: str, folder: Path, dtype: torch.dtype) -> torch.nn.Module:
    model_class = library_class(name)
    key = "dtype" if hasattr(model_class, "config_class") else "torch_dtype"
    return model_class.from_pretrained(folder, **{key: dtype}).eval()


def forward(module: Any) -> torch.Tensor:
    """Return the output of one small pass, whatever the class."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(module.dtype)

    ids = torch.arange(5, 12)[None]
    kind = type(module).__name__
    with torch.no_grad():
        if kind == "WanTransformer3DModel":
            text = noise(1, 4, module.config.text_dim)
            return module(noise(1, 16, 2, 4, 4), torch.tensor([500]), text, return_dict=False)[0]
        if kind == "UNet2DConditionModel":
            pooled_width = module.add_embedding.linear_1.in_features
            pooled_width -= 6 * module.config.addition_time_embed_dim
            return module(
                noise(1, 4, 8, 8),
                torch.tensor(500),
                noise(1, 4, module.config.cross_attention_dim),
                added_cond_kwargs={"text_embeds": noise(1, pooled_width), "time_ids": noise(1, 6)},
                return_dict=False,
            )[0]
        if kind == "AutoencoderKLWan":
            return module.decode(noise(1, 16, 2, 2, 2), return_dict=False)[0]
        if kind == "AutoencoderKL":
            return module.decode(noise(1, 4, 4, 4), return_dict=False)[0]
        output = module(ids)
        return output.logits if kind == "Qwen2ForCausalLM" else output[0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", COMPONENTS)
def test_equals_from_pretrained(checkpoints, name, dtype):
    load, class_name = COMPONENTS[name]
    ours = load(checkpoints / name, device="cpu", dtype=dtype)
    theirs = from_pretrained(class_name, checkpoints / name, dtype)

    for kind in ("named_parameters", "named_buffers"):
        left = dict(getattr(ours, kind)(remove_duplicate=False))
        right = dict(getattr(theirs, kind)(remove_duplicate=False))
        assert left.keys() == right.keys()
        for key, value in left.items():
            assert value.dtype == right[key].dtype, key
            assert torch.equal(value, right[key]), key
    assert not ours.training
    assert not any(module.training for module in ours.modules())
    assert not any(parameter.requires_grad for parameter in ours.parameters())
    assert ours.dtype == theirs.dtype
    # The library's tensors are views at any offset of the file; MKL's products depend on alignment
    # (its developer guide, "Obtaining Numerically Reproducible Results"), so both are aligned.
    aligned = [module._apply(torch.clone) for module in (ours, theirs)]
    assert torch.equal(*map(forward, aligned))


def test_keeps_wan_islands_and_t5_outputs_in_float32(checkpoints):
    transformer = wan_load.load_transformer(
        checkpoints / "wan/transformer", device="cpu", dtype=torch.bfloat16
    )
    assert transformer.scale_shift_table.dtype == torch.float32
    assert transformer.condition_embedder.time_embedder.linear_1.weight.dtype == torch.float32
    assert transformer.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16

    text_encoder = wan_load.load_text_encoder(
        checkpoints / "wan/text_encoder", device="cpu", dtype=torch.float16
    )
    layer = text_encoder.encoder.block[0].layer[-1].DenseReluDense
    assert (layer.wo.weight.dtype, layer.wi_0.weight.dtype) == (torch.float32, torch.float16)


def test_shares_tied_weights(checkpoints):
    encoder = wan_load.load_text_encoder(
        checkpoints / "wan/text_encoder", device="cpu", dtype=torch.float32
    )
    assert encoder.shared.weight is encoder.encoder.embed_tokens.weight


@pytest.fixture
def folder(checkpoints, tmp_path) -> Path:
    """A Wan transformer that a test may break."""
    return Path(shutil.copytree(checkpoints / "wan/transformer", tmp_path / "transformer"))


def load_transformer(folder: Path, cancel: CancelToken | None = None):
    return wan_load.load_transformer(folder, device="cpu", dtype=torch.float32, cancel=cancel)


def rewrite(folder: Path, change) -> Path:
    file = find_weight_files(folder)[0]
    tensors = {key: value.clone() for key, value in load_file(file).items()}
    change(tensors)
    save_file(tensors, file)
    return file


def test_refuses_a_truncated_file(folder):
    file = find_weight_files(folder)[0]
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointInvalid, match="truncated") as caught:
        load_transformer(folder)
    assert file.name in caught.value.message
    assert caught.value.hint


def test_refuses_an_empty_file(folder):
    find_weight_files(folder)[0].write_bytes(b"")
    with pytest.raises(CheckpointInvalid, match="truncated"):
        load_transformer(folder)


def test_refuses_a_pickle_without_opening_it(folder, monkeypatch):
    find_weight_files(folder)[0].rename(folder / "diffusion_pytorch_model.bin")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("opened a pickle"))
    with pytest.raises(CheckpointInvalid, match="pickle"):
        load_transformer(folder)


def test_names_a_missing_tensor(folder):
    rewrite(folder, lambda tensors: tensors.pop("patch_embedding.weight"))
    with pytest.raises(CheckpointInvalid, match=r"lack 'patch_embedding\.weight'"):
        load_transformer(folder)


def test_names_an_unexpected_tensor_and_its_file(folder):
    file = rewrite(folder, lambda tensors: tensors.update(stray=torch.zeros(1)))
    with pytest.raises(CheckpointInvalid, match="'stray'") as caught:
        load_transformer(folder)
    assert str(file) in caught.value.message


def test_names_a_tensor_of_another_shape(folder):
    rewrite(folder, lambda t: t.update({"proj_out.bias": torch.zeros(3)}))
    with pytest.raises(CheckpointInvalid, match=r"'proj_out\.bias' of shape \(3,\)"):
        load_transformer(folder)


@pytest.mark.parametrize(
    ("load", "other"),
    [
        (wan_load.load_transformer, "wan/vae"),
        (wan_load.load_vae, "sdxl/vae"),
        (sdxl_load.load_unet, "wan/transformer"),
        (wan_load.load_text_encoder, "sdxl/text_encoder"),
        (qwen_load.load_model, "wan/text_encoder"),
    ],
)
def test_refuses_another_architecture(checkpoints, load, other):
    with pytest.raises(CheckpointInvalid, match="is needed here"):
        load(checkpoints / other, device="cpu", dtype=torch.float32)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"_class_name": "WanTransformer3DModel", "qk_norm": 3}']
)
def test_refuses_a_broken_config(folder, text):
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointInvalid):
        load_transformer(folder)


@pytest.mark.parametrize(
    "change",
    [{"d_model": "x"}, {"d_model": -1}, {"num_heads": 0}, {"num_layers": 3}, {"dense_act_fn": "x"}],
    ids=str,
)
def test_refuses_a_config_that_makes_no_model(checkpoints, tmp_path, change):
    folder = Path(shutil.copytree(checkpoints / "wan/text_encoder", tmp_path / "text_encoder"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(CheckpointInvalid):
        wan_load.load_text_encoder(folder, device="cpu", dtype=torch.float32)


def test_missing_files_are_missing_not_invalid(folder, tmp_path):
    with pytest.raises(ModelMissing):
        load_transformer(tmp_path / "nowhere")
    find_weight_files(folder)[0].unlink()
    with pytest.raises(ModelMissing, match="No weights"):
        load_transformer(folder)
    with pytest.raises(ModelMissing, match="No tokenizer"):
        wan_load.load_tokenizer(folder)


def split(folder: Path) -> Path:
    """Cut the weights into two shards with an index; return the index."""
    file = find_weight_files(folder)[0]
    tensors = load_file(file)
    names = sorted(tensors)
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        shard = f"diffusion_pytorch_model-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name].clone() for name in part}, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    file.unlink()
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}), encoding="utf-8")
    return index


def test_reads_shards(folder, checkpoints):
    whole = load_transformer(checkpoints / "wan/transformer").state_dict()
    split(folder)
    parts = load_transformer(folder).state_dict()
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_a_shard_that_is_not_there_is_missing(folder):
    split(folder)
    (folder / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelMissing, match="00002-of-00002"):
        load_transformer(folder)


def test_an_index_may_not_leave_its_folder(folder):
    index = split(folder)
    weight_map = {"proj_out.bias": "../elsewhere.safetensors"}
    index.write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    with pytest.raises(CheckpointInvalid, match="elsewhere"):
        load_transformer(folder)


def test_asks_the_token_between_tensors(folder):
    class CancelAfter(CancelToken):
        asked = 0

        def raise_if_cancelled(self) -> None:
            self.asked += 1
            if self.asked == 5:
                self.cancel()
            super().raise_if_cancelled()

    token = CancelAfter()
    with pytest.raises(Cancelled):
        load_transformer(folder, token)
    assert token.asked == 5


def test_weights_do_not_change_with_the_file(folder):
    module = load_transformer(folder)
    before = module.proj_out.weight.clone()
    file = find_weight_files(folder)[0]
    with file.open("r+b") as handle:
        handle.seek(-file.stat().st_size // 2, 2)
        handle.write(b"\xff" * (file.stat().st_size // 2))
    assert torch.equal(module.proj_out.weight, before)


def test_accepts_buffers_that_older_checkpoints_stored(checkpoints, tmp_path):
    folder = Path(shutil.copytree(checkpoints / "sdxl/text_encoder", tmp_path / "text_encoder"))
    stray = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    rewrite(folder, lambda tensors: tensors.update(stray))
    sdxl_load.load_text_encoder(folder, device="cpu", dtype=torch.float32)


def test_components_load_in_parallel_and_other_threads_build_real_modules(checkpoints):
    """Building on the meta device patches a class; nobody else may notice."""
    stop = threading.Event()
    devices: set[str] = set()
    dtypes: set[torch.dtype] = set()

    def build_meanwhile() -> None:
        while not stop.is_set():
            devices.add(torch.nn.Linear(2, 2).weight.device.type)
            dtypes.add(torch.zeros(1).dtype)

    results: dict[str, torch.nn.Module] = {}

    def load(name: str) -> None:
        results[name] = COMPONENTS[name][0](checkpoints / name, device="cpu", dtype=torch.bfloat16)

    builder = threading.Thread(target=build_meanwhile)
    loaders = [threading.Thread(target=load, args=(name,)) for name in COMPONENTS]
    register_parameter = torch.nn.Module.register_parameter
    builder.start()
    for thread in loaders:
        thread.start()
    for thread in loaders:
        thread.join()
    stop.set()
    builder.join()

    assert results.keys() == COMPONENTS.keys()
    assert not any(p.is_meta for module in results.values() for p in module.parameters())
    assert devices == {"cpu"}
    assert dtypes == {torch.float32}
    assert torch.nn.Module.register_parameter is register_parameter


COLD_START = """
import sys, threading
from pathlib import Path
import torch
from ourvidz.models.sdxl import load as sdxl
from ourvidz.models.wan import load as wan

root, failures = Path(sys.argv[1]), []

def run(load, name):
    try:
        load(root / name, device="cpu", dtype=torch.float32)
    except BaseException as error:
        failures.append(f"{name}: {error!r}")

jobs = [
    (wan.load_text_encoder, "wan/text_encoder"),
    (wan.load_transformer, "wan/transformer"),
    (wan.load_vae, "wan/vae"),
    (sdxl.load_text_encoder, "sdxl/text_encoder"),
]
threads = [threading.Thread(target=run, args=job) for job in jobs]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit("\\n".join(failures) or 0)
"""


@pytest.mark.slow
def test_parallel_loads_may_be_the_first_to_import_the_libraries(checkpoints):
    done = subprocess.run(
        [sys.executable, "-c", COLD_START, str(checkpoints)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_host_copy_brings_back_an_equal_module(checkpoints, name):
    module = COMPONENTS[name][0](checkpoints / name, device="cpu", dtype=torch.bfloat16)
    expected = forward(module)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    kept = HostCopy(module, is_pinned=False)
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data.zero_()  # the copy has memory of its own
    for _ in range(2):  # and can be brought back again and again
        back = kept.to_device(torch.device("cpu"))
        assert type(back) is type(module)
        assert back.state_dict().keys() == state.keys()
        assert all(torch.equal(value, state[key]) for key, value in back.state_dict().items())
        assert len(list(back.parameters())) == len(list(module.parameters()))  # ties are kept
        assert not back.training
        assert torch.equal(forward(back), expected)
        for parameter in back.parameters():
            parameter.data.zero_()
    weights = sum(each.numel() * each.element_size() for each in module.parameters())
    assert weights <= kept.num_bytes


def test_a_host_copy_keeps_channels_last_and_copies_views_apart():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Linear(4, 4))
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    module.register_buffer("every_other", torch.arange(12.0)[::2])
    module.register_buffer("repeated", torch.ones(1).expand(7))
    module.register_buffer("empty", torch.empty(0, 3))
    back = HostCopy(module, is_pinned=False).to_device(torch.device("cpu"))
    assert back[0].weight.is_contiguous(memory_format=torch.channels_last)
    for key, value in module.state_dict().items():
        assert torch.equal(back.state_dict()[key], value), key


def test_weight_bytes_are_those_of_the_loaded_module(checkpoints):
    folder = checkpoints / "wan/vae"
    for dtype in DTYPES:
        module = wan_load.load_vae(folder, device="cpu", dtype=dtype)
        loaded = sum(each.numel() * each.element_size() for each in module.parameters())
        assert weight_bytes(folder, dtype) == loaded


def test_a_checkpoint_that_does_not_fit_is_told_before_its_weights_are_read(folder, monkeypatch):
    monkeypatch.setattr(reading, "read_tensors", lambda *_, **__: pytest.fail("read weights"))
    rewrite(folder, lambda tensors: tensors.pop("patch_embedding.weight"))
    with pytest.raises(CheckpointInvalid, match="lack"):
        load_transformer(folder)
