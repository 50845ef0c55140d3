"""Tokens are counted as the engine counts them, without the engine's library."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from ourvidz.api.tokens import count_tokens, length_check
from ourvidz.catalog.config import catalogue_of
from ourvidz.catalog.models import MODELS
from ourvidz.catalog.resolve import resolve
from ourvidz.checkpoints.locate import SHIPPED_WEIGHTS
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import InvalidRequest
from ourvidz.core.prompts import clean_prompt
from ourvidz.core.recorder import SpanRecorder
from ourvidz.jobs.model import JobKind
from ourvidz.models.tokenizers import load_tokenizer
from ourvidz.worker.assemble import assemble_worker
from tests.api.conftest import client_of

TOKENS = "/api/v1/prompts/tokens"
TEXTS = (
    "a red circle moving left on a black background",
    "",
    "A  Red\tCIRCLE,\n\nmoving left!!! (4:3) -- it's 100% blue; don't blink",
    "una niña corre por la montaña al amanecer, über die Brücke",
    "一只橙色的猫坐在窗台上。",
    "🙂 emoji 👩‍🚀 and ﬁ ligatures ① ½",
    "&amp;lt;b&amp;gt; &quot;quoted&quot;",
    "<|startoftext|> inside </s> and <pad> ! !! !",
    "supercalifragilisticexpialidocious " * 40,
)
BY_ID = {model.id: model for model in MODELS}
FOLDERS = {"pocket-video": "wan", "pocket-image": "sdxl", "pocket-enhancer": "qwen"}


def ask(client, **values):
    answer = client.post(TOKENS, json=values)
    assert answer.status_code == 200, answer.text
    return answer.json()


def engine_counts(folder, family, text):
    """Count as the engine does: see ``count_tokens`` of its families."""
    names = {"wan": ["tokenizer"], "sdxl": ["tokenizer", "tokenizer_2"], "qwen": [""]}[family]
    clean = clean_prompt if family == "wan" else str
    return [len(load_tokenizer(folder / name)(clean(text)).input_ids) for name in names]


@pytest.mark.parametrize("model_id", FOLDERS)
def test_counts_are_the_engines_own(settings, model_id):
    folder = SHIPPED_WEIGHTS / model_id
    for text in TEXTS:
        counted = count_tokens(settings, BY_ID[model_id], text)
        assert list(counted.values()) == engine_counts(folder, FOLDERS[model_id], text), text


@pytest.mark.parametrize("model_id", ["wan2.1-t2v-1.3b", "sdxl-base-1.0", "qwen2.5-7b-instruct"])
def test_counts_are_the_engines_own_for_tokenizers_of_the_published_kinds(
    tiny_settings, tiny_models, model_id
):
    model = BY_ID[model_id]
    for text in TEXTS:
        counted = count_tokens(tiny_settings, model, text)
        wanted = engine_counts(tiny_models / model_id, model.family, text)
        assert list(counted.values()) == wanted, text


def test_a_vocabulary_with_merges_will_do_as_sdxl_is_published(settings, tmp_path):
    folder = tmp_path / "checkpoint"
    (folder / "unet").mkdir(parents=True)
    shutil.copy(SHIPPED_WEIGHTS / "pocket-image" / "model_index.json", folder)
    for name in ("tokenizer", "tokenizer_2"):
        shutil.copytree(SHIPPED_WEIGHTS / "pocket-image" / name, folder / name)
        file = folder / name / "tokenizer.json"
        model = json.loads(file.read_text())["model"]
        file.unlink()
        (folder / name / "vocab.json").write_text(json.dumps(model["vocab"]))
        merges = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
        (folder / name / "merges.txt").write_text("\n".join(merges))
    settings = settings.model_copy(update={"model_paths": {"pocket-image": folder}})
    for text in TEXTS:
        counted = count_tokens(settings, BY_ID["pocket-image"], text)
        assert list(counted.values()) == engine_counts(folder, "sdxl", text), text


def test_what_the_library_makes_anew_is_made_anew_here_too(tiny_settings, tiny_models, tmp_path):
    shutil.copytree(tiny_models / "wan2.1-t2v-1.3b", tmp_path / "wan")
    file = tmp_path / "wan" / "tokenizer" / "tokenizer.json"
    told = json.loads(file.read_text())
    told["normalizer"] = {"type": "Lowercase"}
    told["pre_tokenizer"] = {"type": "Punctuation", "behavior": "Isolated"}
    told["truncation"] = {
        "direction": "Right",
        "max_length": 5,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    file.write_text(json.dumps(told))
    paths = {"wan2.1-t2v-1.3b": tmp_path / "wan"}
    settings = tiny_settings.model_copy(update={"model_paths": paths})
    for text in TEXTS:
        counted = count_tokens(settings, BY_ID["wan2.1-t2v-1.3b"], text)
        assert list(counted.values()) == engine_counts(tmp_path / "wan", "wan", text), text


def test_a_prompt_is_over_where_the_engine_refuses_it(client):
    word = "circle "
    fitting = ask(client, prompt=word * 95, job_type="video_fast", negative_prompt="blurry")
    assert [each["is_over"] for each in fitting["counts"]] == [False, False]
    assert fitting["unavailable"] is None
    prompt, negative = fitting["counts"]
    assert (prompt["text"], prompt["encoder"], prompt["model"]) == (
        "prompt",
        "text_encoder",
        "pocket-video",
    )
    assert (prompt["num_tokens"], prompt["limit"]) == (96, 96)
    assert negative["text"] == "negative_prompt"
    (over,) = ask(client, prompt=word * 96, job_type="video_fast")["counts"]
    assert (over["num_tokens"], over["is_over"]) == (97, True)


def test_images_are_counted_by_both_encoders(client):
    counts = ask(client, prompt="a red circle", job_type="sdxl_image_fast")["counts"]
    assert [(each["encoder"], each["limit"]) for each in counts] == [
        ("text_encoder", 77),
        ("text_encoder_2", 77),
    ]


def test_the_prompt_of_an_enhanced_job_type_is_the_enhancers_to_read(client):
    body = {"prompt": "a red circle " * 200, "job_type": "video7b_fast_enhanced"}
    counts = ask(client, negative_prompt="blurry", **body)["counts"]
    assert [(each["encoder"], each["model"], each["limit"]) for each in counts] == [
        ("enhancer", "pocket-enhancer", None),
        ("text_encoder", "pocket-video", 96),
    ]
    assert not any(each["is_over"] for each in counts)


def test_an_enhancer_elsewhere_counts_for_itself(deps):
    settings = deps.settings.model_copy(update={"enhancer_url": "http://127.0.0.1:9/v1"})
    client = client_of(replace(deps, settings=settings))
    found = ask(client, prompt="a", job_type="video7b_fast_enhanced")
    assert found["counts"] == []
    assert "elsewhere" in found["unavailable"]


def test_without_the_models_files_the_reason_is_said(deps, tmp_path):
    settings = deps.settings.model_copy(update={"profile": "full"})
    found = ask(client_of(replace(deps, settings=settings)), prompt="a red circle")
    assert found["counts"] == []
    assert "ourvidz models pull wan2.1-t2v-1.3b" in found["unavailable"]
    (tmp_path / "broken" / "tokenizer").mkdir(parents=True)
    (tmp_path / "broken" / "tokenizer" / "tokenizer.json").write_text("{}")
    paths = {"pocket-video": tmp_path / "broken"}
    settings = deps.settings.model_copy(update={"model_paths": paths})
    found = ask(client_of(replace(deps, settings=settings)), prompt="a red circle")
    assert "can't be read" in found["unavailable"]
    assert str(tmp_path) not in found["unavailable"]


def test_unknown_job_types_are_refused(client):
    answer = client.post(TOKENS, json={"prompt": "a", "job_type": "video_fsat"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unknown_name")


def test_counting_needs_neither_torch_nor_transformers():
    program = (
        "import sys, ourvidz.api.tokens\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


OVER = "circle " * 96  # with the end token one more than pocket-video reads
DOORS = {
    "jobs": ("/api/v1/jobs", {"prompt": OVER, "job_type": "video_fast"}),
    "expect": ("/api/v1/jobs/expect", {"prompt": OVER, "job_type": "video_fast"}),
    "batch": (
        "/api/v1/jobs/batch",
        {"jobs": [{"prompt": "a"}, {"prompt": OVER, "job_type": "video_fast"}]},
    ),
    "grid": (
        "/api/v1/jobs/grid",
        {"base": {"prompt": "a", "job_type": "video_fast"}, "axes": {"prompt": ["a", OVER]}},
    ),
    "openai": ("/v1/videos", {"prompt": OVER, "model": "video_fast"}),
}


@pytest.mark.parametrize("door", DOORS)
def test_what_the_engine_would_refuse_is_refused_at_every_door(client, deps, door):
    path, body = DOORS[door]
    answer = client.post(path, json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_request", "prompt")
    assert "97 tokens" in error["message"]
    assert "pocket-video reads 96" in error["message"]
    assert not deps.store.counts().by_state.get("queued")


def test_a_negative_prompt_is_checked_too_and_an_enhancers_prompt_is_not(client):
    body = {"prompt": "a", "negative_prompt": OVER, "job_type": "video_fast"}
    answer = client.post("/api/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "negative_prompt")
    enhanced = {"prompt": OVER, "job_type": "video7b_fast_enhanced"}
    assert client.post("/api/v1/jobs", json=enhanced).status_code == 201
    answer = client.post("/api/v1/jobs", json=enhanced | {"negative_prompt": OVER})
    assert answer.json()["error"]["param"] == "negative_prompt"
    assert client.post("/api/v1/enhance", json={"prompt": OVER}).status_code == 201


def test_the_door_and_the_engine_refuse_with_the_same_words(settings):
    catalogue = catalogue_of(settings)
    request = resolve(
        catalogue=catalogue, settings=settings, prompt=OVER, seed=1, job_type="video_fast"
    )
    with pytest.raises(InvalidRequest) as at_the_door:
        length_check(settings, catalogue)(request, JobKind.GENERATE)
    worker = assemble_worker(settings=settings, catalogue=catalogue, clock=SystemClock())
    try:
        recorder = SpanRecorder(SystemClock())
        with pytest.raises(InvalidRequest) as in_the_engine:
            list(worker.engine.generate(request, recorder=recorder, cancel=CancelToken()))
    finally:
        worker.engine.close()
    assert at_the_door.value.message == in_the_engine.value.message
    assert at_the_door.value.code == in_the_engine.value.code


def test_without_the_tokenizer_nothing_is_guessed(settings, make_app_deps):
    settings = settings.model_copy(update={"profile": "full"})
    client = client_of(make_app_deps(settings))
    body = {"prompt": "circle " * 570, "job_type": "video_fast"}
    assert client.post("/api/v1/jobs", json=body).status_code == 201
