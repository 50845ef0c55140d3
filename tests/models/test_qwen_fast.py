"""The fast Qwen against the library and against our own generate, float32, on the CPU."""

from __future__ import annotations

import copy

import pytest
import torch

from ourvidz.checkpoints.locate import SHIPPED_WEIGHTS
from ourvidz.kernels import gemv
from ourvidz.kernels.quantize import dequantize
from ourvidz.models.qwen import load as qwen_load
from ourvidz.models.qwen.config import Sampling
from ourvidz.models.qwen.encode import encode
from ourvidz.models.qwen.fast import FastQwen, can_run_fast
from ourvidz.models.qwen.generate import eos_token_ids, generate

LENGTH = 20
SAMPLINGS = pytest.mark.parametrize(
    "sampling",
    [None, Sampling(), Sampling(temperature=1.7, top_p=0.95, top_k=50, repetition_penalty=1.3)],
    ids=["greedy", "defaults", "wild"],
)


@pytest.fixture(scope="module")
def pocket():
    folder = SHIPPED_WEIGHTS / "pocket-enhancer"
    model = qwen_load.load_model(folder, device="cpu", dtype=torch.float32)
    tokenizer = qwen_load.load_tokenizer(folder)
    messages = [{"role": "user", "content": "two blue circles moving left"}]
    return model, encode(messages, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def models(pocket, qwen):
    ids = torch.randint(100, 4000, (1, 9), generator=torch.Generator().manual_seed(0))
    return {"pocket": pocket, "random": (qwen.model, ids)}


@pytest.fixture(scope="module")
def fasts(models):
    return {name: FastQwen(model) for name, (model, _) in models.items()}


def library_tokens(model, input_ids, *, sampling, seed) -> list[int]:
    from transformers import GenerationConfig

    settings = (
        {"do_sample": False}
        if sampling is None
        else {
            "do_sample": True,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "repetition_penalty": sampling.repetition_penalty,
        }
    )
    config = GenerationConfig(max_new_tokens=LENGTH, eos_token_id=None, pad_token_id=0, **settings)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        output = model.generate(
            input_ids, attention_mask=torch.ones_like(input_ids), generation_config=config
        )
    return output[0, input_ids.shape[1] :].tolist()


@SAMPLINGS
@pytest.mark.parametrize("name", ["pocket", "random"])
def test_tokens_equal_the_librarys(models, fasts, driven, name, sampling):
    model, input_ids = models[name]
    events, generation = driven(
        fasts[name].generate(
            input_ids=input_ids,
            max_new_tokens=LENGTH,
            eos_token_ids=(),
            sampling=sampling,
            seed=11,
        )
    )
    assert list(generation.token_ids) == library_tokens(
        model, input_ids, sampling=sampling, seed=11
    )
    assert [event.token_id for event in events] == list(generation.token_ids)


@pytest.mark.parametrize("name", ["pocket", "random"])
def test_logits_equal_the_librarys(models, fasts, name):
    model, input_ids = models[name]
    with torch.inference_mode():
        expected = model(input_ids).logits[0]
    found = fasts[name].logits(input_ids)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@SAMPLINGS
@pytest.mark.parametrize("max_new_tokens", [1, 2, 60])
def test_events_and_result_equal_those_of_generate(pocket, fasts, driven, sampling, max_new_tokens):
    model, input_ids = pocket
    arguments = {
        "input_ids": input_ids,
        "max_new_tokens": max_new_tokens,
        "eos_token_ids": eos_token_ids(model),
        "sampling": sampling,
        "seed": 5,
    }
    expected = driven(generate(model=model, **arguments))
    assert driven(fasts["pocket"].generate(**arguments)) == expected
    assert expected[1].finish_reason == ("eos" if max_new_tokens == 60 else "length")


@pytest.mark.parametrize("stop_at", [0, 1, 2, LENGTH - 1])
def test_stops_at_an_end_token_wherever_it_comes(models, fasts, driven, stop_at):
    _, input_ids = models["random"]
    fast = fasts["random"]
    arguments = {"input_ids": input_ids, "max_new_tokens": LENGTH}
    _, free = driven(fast.generate(eos_token_ids=(), **arguments))
    stop_id = free.token_ids[stop_at]
    first = free.token_ids.index(stop_id)
    events, generation = driven(fast.generate(eos_token_ids=(stop_id,), **arguments))
    assert generation.finish_reason == "eos"
    assert generation.token_ids == free.token_ids[:first]
    assert [event.is_last for event in events] == [False] * first + [True]


@pytest.mark.parametrize("is_grad_enabled", [True, False])
def test_interleaved_runs_equal_runs_alone(pocket, fasts, driven, is_grad_enabled):
    _, input_ids = pocket
    fast = fasts["pocket"]
    options = (
        {"input_ids": input_ids},
        {"input_ids": input_ids[:, 2:], "sampling": Sampling(), "seed": 3},
        {"input_ids": input_ids[:, 4:]},
    )
    options = [{"max_new_tokens": LENGTH, "eos_token_ids": (), **kwargs} for kwargs in options]
    alone = [driven(fast.generate(**kwargs))[1] for kwargs in options]
    with torch.set_grad_enabled(is_grad_enabled):
        runs = [fast.generate(**kwargs) for kwargs in options]
        for _ in range(LENGTH):
            for generator in runs:
                next(generator)
                assert torch.is_grad_enabled() is is_grad_enabled
                assert not torch.is_inference_mode_enabled()
        results = [driven(generator)[1] for generator in runs]
    assert results == alone


def test_slots_go_back_when_a_generation_ends_or_is_closed(pocket, driven):
    model, input_ids = pocket
    fast = FastQwen(model)
    arguments = {"input_ids": input_ids, "max_new_tokens": 4, "eos_token_ids": ()}
    _, expected = driven(fast.generate(**arguments))
    (slot,) = fast._idle
    generators = [fast.generate(**arguments) for _ in range(3)]
    assert fast._idle == [slot]  # nothing is taken before the first token
    for generator in generators:
        next(generator)
    assert fast._idle == []
    for generator in generators:
        generator.close()
    assert len(fast._idle) == 2
    assert driven(fast.generate(**arguments))[1] == expected
    fast.drop_idle()
    assert fast._idle == []
    assert driven(fast.generate(**arguments))[1] == expected


def test_a_failed_generation_keeps_its_slot_from_others(pocket, monkeypatch):
    model, input_ids = pocket
    fast = FastQwen(model)
    generator = fast.generate(input_ids=input_ids, max_new_tokens=4, eos_token_ids=())
    next(generator)
    monkeypatch.setattr(gemv, "attend", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(generator)
    assert fast._idle == []


def test_caches_grow_with_what_is_asked(pocket, driven):
    model, input_ids = pocket
    fast = FastQwen(model)
    arguments = {"input_ids": input_ids, "eos_token_ids": eos_token_ids(model)}
    _, short = driven(fast.generate(max_new_tokens=60, **arguments))
    _, long = driven(fast.generate(max_new_tokens=1500, **arguments))
    assert short == long
    assert sorted(slot.capacity for slot in fast._idle) == [1024, 2048]
    assert driven(fast.generate(max_new_tokens=60, **arguments))[1] == short
    assert sorted(slot.capacity for slot in fast._idle) == [1024, 2048]


def test_warming_up_leaves_no_trace(pocket, driven):
    model, input_ids = pocket
    fast = FastQwen(model)
    fast.warm_up()
    arguments = {"input_ids": input_ids, "max_new_tokens": LENGTH, "eos_token_ids": ()}
    assert driven(fast.generate(**arguments)) == driven(generate(model=model, **arguments))


def test_native_weights_are_the_modules_own(pocket):
    model, _ = pocket
    fast = FastQwen(model)
    assert fast.num_bytes == 0
    layer = model.model.layers[1]
    held = fast._network.layers[1]
    assert held.qkv.key.data_ptr() == layer.self_attn.k_proj.weight.data_ptr()
    assert held.down.data_ptr() == layer.mlp.down_proj.weight.data_ptr()
    assert fast._network.head.data_ptr() == model.lm_head.weight.data_ptr()


@pytest.fixture(scope="module")
def rounded(pocket):
    """The library's model with every linear weight replaced by what 8 bits keep of it."""
    model = copy.deepcopy(pocket[0])
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())  # untied
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = dequantize(gemv.quantize_weight(module.weight.data))
    return model


@SAMPLINGS
def test_quantized_equals_the_library_on_rounded_weights(pocket, rounded, driven, sampling):
    model, input_ids = pocket
    fast = FastQwen(model, weights="e4m3")
    arguments = {
        "input_ids": input_ids,
        "max_new_tokens": LENGTH,
        "eos_token_ids": (),
        "sampling": sampling,
    }
    assert driven(fast.generate(**arguments)) == driven(generate(model=rounded, **arguments))
    with torch.inference_mode():
        expected = rounded(input_ids).logits[0]
    torch.testing.assert_close(fast.logits(input_ids), expected, rtol=1e-4, atol=1e-4)


def test_quantized_stays_near_and_agrees_on_most_tokens(pocket, driven):
    model, input_ids = pocket
    arguments = {"max_new_tokens": 60, "eos_token_ids": eos_token_ids(model)}
    _, generation = driven(generate(model=model, input_ids=input_ids, **arguments))
    whole = torch.cat([input_ids, torch.tensor([generation.token_ids])], dim=1)
    with torch.inference_mode():
        exact = model(whole).logits[0]
    quantized = FastQwen(model, weights="e4m3").logits(whole)
    error = (quantized - exact).norm() / exact.norm()
    assert 0.005 < error < 0.05
    assert (quantized.argmax(dim=-1) == exact.argmax(dim=-1)).float().mean() > 0.9


def test_quantized_holds_bytes_of_its_own_and_outlives_the_module(pocket, driven):
    model, input_ids = pocket
    dropped = copy.deepcopy(model)
    fast = FastQwen(dropped, weights="e4m3")
    num_linear = sum(
        module.weight.numel() for module in dropped.modules() if isinstance(module, torch.nn.Linear)
    )
    num_rows = sum(
        module.weight.shape[0]
        for module in dropped.modules()
        if isinstance(module, torch.nn.Linear)
    )
    assert fast.num_bytes == num_linear + 4 * num_rows
    arguments = {"input_ids": input_ids, "max_new_tokens": 4, "eos_token_ids": ()}
    expected = driven(fast.generate(**arguments))
    for layer in dropped.model.layers:
        layer.mlp.down_proj.weight.data.zero_()
    assert driven(fast.generate(**arguments)) == expected


def changed(model, **settings):
    other = copy.deepcopy(model)
    for name, value in settings.items():
        setattr(other.config, name, value)
    return other


def test_what_it_does_not_know_is_refused(qwen):
    model = qwen.model
    assert can_run_fast(model)
    kinds = ["full_attention", "sliding_attention"]
    assert not can_run_fast(changed(model, layer_types=kinds))
    assert not can_run_fast(changed(model, hidden_act="gelu"))
    yarn = {**model.config.rope_parameters, "rope_type": "yarn"}
    assert not can_run_fast(changed(model, rope_parameters=yarn))
    assert not can_run_fast(copy.deepcopy(model).half())
    assert not can_run_fast(torch.nn.Linear(2, 2))
    mixed = copy.deepcopy(model)
    mixed.lm_head.bfloat16()
    assert not can_run_fast(mixed)
    wrapped = copy.deepcopy(model)
    wrapped.model.layers[0].mlp.up_proj = torch.nn.Sequential(wrapped.model.layers[0].mlp.up_proj)
    assert not can_run_fast(wrapped)
    with pytest.raises(ValueError, match="not a plain Qwen 2"):
        FastQwen(wrapped)


@pytest.fixture
def full_float32():
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(precision)


@pytest.fixture
def pocket_on_gpu(pocket, full_float32):
    model, input_ids = pocket
    return copy.deepcopy(model).cuda(), input_ids.cuda()


@pytest.mark.gpu
@SAMPLINGS
@pytest.mark.parametrize("weights", ["native", "e4m3"])
def test_gpu_tokens_equal_the_cpus(pocket, pocket_on_gpu, driven, weights, sampling):
    model, input_ids = pocket
    gpu_model, gpu_ids = pocket_on_gpu
    arguments = {"max_new_tokens": 60, "eos_token_ids": eos_token_ids(model), "sampling": sampling}
    expected = driven(FastQwen(model, weights=weights).generate(input_ids=input_ids, **arguments))
    fast = FastQwen(gpu_model, weights=weights)
    for _ in range(2):  # eager first, from the recorded graph after
        assert driven(fast.generate(input_ids=gpu_ids, **arguments)) == expected


@pytest.mark.gpu
def test_gpu_logits_equal_the_librarys(pocket_on_gpu):
    model, input_ids = pocket_on_gpu
    with torch.inference_mode():
        expected = model(input_ids).logits[0]
    torch.testing.assert_close(FastQwen(model).logits(input_ids), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
def test_gpu_greedy_tokens_wait_for_nothing_but_themselves(pocket_on_gpu, driven):
    model, input_ids = pocket_on_gpu
    fast = FastQwen(model)
    fast.warm_up()
    arguments = {"input_ids": input_ids, "max_new_tokens": LENGTH, "eos_token_ids": ()}
    expected = driven(fast.generate(**arguments))
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert driven(fast.generate(**arguments)) == expected
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_gpu_interleaved_runs_equal_runs_alone(pocket_on_gpu, driven):
    model, input_ids = pocket_on_gpu
    fast = FastQwen(model)
    options = [
        {"input_ids": input_ids[:, cut:], "max_new_tokens": LENGTH, "eos_token_ids": ()}
        for cut in range(3)
    ]
    alone = [driven(fast.generate(**kwargs))[1] for kwargs in options]
    runs = [fast.generate(**kwargs) for kwargs in options]
    for _ in range(LENGTH):
        for generator in runs:
            next(generator)
    assert [driven(generator)[1] for generator in runs] == alone
