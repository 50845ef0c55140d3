"""Prompts encoded ahead: found again bit for bit, and never for another text."""

from dataclasses import replace

import pytest

from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.event import FramesReady
from ourvidz.core.phase import Phase
from ourvidz.core.recorder import SpanRecorder
from ourvidz.worker.assemble import assemble_worker


@pytest.fixture(scope="module")
def engine(tiny_settings):
    made = assemble_worker(
        settings=tiny_settings, catalogue=catalogue_of(tiny_settings), clock=SystemClock()
    ).engine
    yield made
    made.close()


@pytest.fixture(scope="module")
def ask(tiny_settings):
    def make(job_type, prompt="a red circle", **values):
        small = {"width": 64, "height": 96, "num_inference_steps": 2}
        return resolve(
            catalogue=catalogue_of(tiny_settings),
            settings=tiny_settings,
            prompt=prompt,
            seed=1,
            job_type=job_type,
            values={**small, **values},
        )

    return make


def generate(engine, request):
    """Return all frames and the facts of the encode phase."""
    recorder = SpanRecorder(SystemClock())
    frames = [
        event.frames
        for event in engine.generate(request, recorder=recorder, cancel=CancelToken())
        if isinstance(event, FramesReady)
    ]
    (encode,) = (span for span in recorder.spans() if span.phase is Phase.ENCODE)
    return b"".join(each.tobytes() for each in frames), encode.facts


REQUESTS = [
    ("image_fast", {}),
    ("image_fast", {"guidance_scale": 1.0}),
    ("sdxl_image_fast", {"num_images": 1}),
    ("sdxl_image_fast", {"num_images": 1, "negative_prompt": ""}),
    ("sdxl_image_fast", {"num_images": 1, "guidance_scale": 1.0}),
]


@pytest.mark.parametrize(("job_type", "values"), REQUESTS)
def test_what_was_encoded_ahead_gives_the_same_bits(engine, ask, job_type, values):
    request = ask(job_type, prompt=f"a blue star {values}", **values)
    frames, facts = generate(engine, request)
    assert "cached" not in facts
    assert engine.encode_ahead(request)  # kept by the job: nothing to do
    again, facts = generate(engine, request)
    assert facts["cached"] is True
    assert again == frames
    for other in (
        replace(request, prompt=f"a green triangle {values}"),
        replace(request, negative_prompt=f"other {values}", guidance_scale=5.0),
    ):
        _, facts = generate(engine, other)
        assert "cached" not in facts


def test_nothing_is_encoded_without_resident_encoders_or_an_unknown_prompt(tiny_settings, ask):
    made = assemble_worker(
        settings=tiny_settings, catalogue=catalogue_of(tiny_settings), clock=SystemClock()
    ).engine
    request = ask("image_fast")
    assert not made.encode_ahead(request)
    assert made.resident() == {}
    made.load(request.model, family=request.family, cancel=CancelToken())
    assert set(made.resident()) == {request.model}
    assert made.encode_ahead(request)
    assert not made.encode_ahead(ask("image7b_fast_enhanced"))
    assert not made.encode_ahead(ask("image_fast", prompt="blue " * 790))
    made.close()


def test_embeddings_outlive_the_weights_they_were_made_with(tiny_settings):
    settings = Settings(profile="pocket", device="cpu")
    catalogue = catalogue_of(settings)
    made = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock()).engine
    request = resolve(
        catalogue=catalogue,
        settings=settings,
        prompt="a red circle",
        seed=1,
        job_type="sdxl_image_fast",
        values={"num_images": 1, "num_inference_steps": 2},
    )
    made.load(request.model, family="sdxl", cancel=CancelToken())
    assert made.encode_ahead(request)
    assert made.unload(request.model) > 0
    frames, facts = generate(made, request)
    assert facts["cached"] is True
    fresh = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock()).engine
    assert generate(fresh, request)[0] == frames
    made.close()
    fresh.close()


JOBS = [
    ("image_fast", "text_encoder", {}),
    ("sdxl_image_fast", "text_encoder_2", {"num_images": 1}),
]


@pytest.mark.parametrize(("job_type", "encoder", "values"), JOBS)
def test_a_new_process_needs_no_text_encoder_for_known_prompts(
    tiny_settings, tmp_path, ask, job_type, encoder, values
):
    settings = tiny_settings.model_copy(update={"data_dir": tmp_path})
    catalogue = catalogue_of(settings)

    def make():
        return assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock()).engine

    request = ask(job_type, **values)
    first, second = make(), make()
    frames, facts = generate(first, request)
    assert "cached" not in facts
    first.close()
    again, facts = generate(second, request)
    assert facts["cached"] is True
    assert again == frames
    assert second._residency.find(request.model, encoder) is None
    assert second._residency.find(request.model, "vae") is not None
    generate(second, replace(request, prompt="a text that nobody wrote"))
    assert second._residency.find(request.model, encoder) is not None
    second.close()


@pytest.mark.parametrize(("job_type", "encoder", "values"), JOBS)
def test_negative_prompts_prepared_once_serve_every_job(
    tiny_settings, tmp_path, ask, job_type, encoder, values
):
    settings = tiny_settings.model_copy(update={"data_dir": tmp_path})
    catalogue = catalogue_of(settings)
    request = ask(job_type, **values)
    texts = catalogue.negative_prompts(catalogue.model(request.model), {})
    assert request.negative_prompt in texts
    made = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock()).engine
    options = {"family": request.family, "texts": texts, "cancel": CancelToken()}
    assert made.prepare_texts(request.model, **options) == len(texts)
    assert made._residency.find(request.model, "vae") is None
    assert made.prepare_texts(request.model, **options) == 0
    frames, _ = generate(made, request)
    made.close()
    plain = assemble_worker(
        settings=settings.model_copy(update={"embed_cache_bytes": 0}),
        catalogue=catalogue,
        clock=SystemClock(),
    ).engine
    expected, facts = generate(plain, request)
    assert "cached" not in facts
    assert frames == expected
    plain.close()
