"""CLIP scores on a tiny model of random weights, against the library's own logits."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from ourvidz.bench.clip_score import ClipScorer
from ourvidz.core.errors import CheckpointInvalid, InvalidRequest, ModelMissing

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PROMPT = "a red circle"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CLIP model in a folder, as the hub has them."""
    path = tmp_path_factory.mktemp("clip")
    ends = [f"{letter}</w>" for letter in LETTERS]
    tokens = [*LETTERS, *ends, "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: index for index, token in enumerate(tokens)}
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = CLIPConfig(
        text_config={
            **sizes,
            "vocab_size": len(vocab),
            "max_position_embeddings": 16,
            "bos_token_id": vocab["<|startoftext|>"],
            "eos_token_id": vocab["<|endoftext|>"],
        },
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(path)
    CLIPTokenizer(vocab=vocab, merges=[]).save_pretrained(path)
    CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(path)
    return path


def frames(count=1):
    return list(np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8))


def cosines(folder, prompt, images):
    """The library's own, one picture at a time."""
    model = CLIPModel.from_pretrained(folder).eval()
    tokens = CLIPTokenizer.from_pretrained(folder)(
        prompt, truncation=True, max_length=16, return_tensors="pt"
    )
    processor = CLIPImageProcessor.from_pretrained(folder)
    found = []
    for image in images:
        pixels = processor(images=Image.fromarray(image), return_tensors="pt")
        with torch.inference_mode():
            logits = model(**tokens, **pixels).logits_per_image
        found.append(float(logits[0, 0]) / float(model.logit_scale.detach().exp()))
    return found


def test_the_score_is_the_library_s_cosine(folder):
    images = frames(20)  # more than a batch
    expected = cosines(folder, PROMPT, images)
    found = ClipScorer(folder).score(PROMPT, images)
    assert found.score == pytest.approx(2.5 * np.mean(np.maximum(expected, 0)), abs=1e-5)
    assert (found.num_frames, found.is_truncated) == (20, False)


def test_opposite_things_have_nothing(folder):
    images = frames(1)
    scorer = ClipScorer(folder)
    (before,) = cosines(folder, PROMPT, images)
    scorer._model.text_projection.weight.data *= -1
    found = scorer.score(PROMPT, images).score
    assert found == pytest.approx(2.5 * max(-before, 0.0), abs=1e-5)


def test_a_prompt_that_is_cut_is_told_so(folder):
    assert (
        ClipScorer(folder).score("a red circle a red circle a blue square", frames()).is_truncated
    )


def test_what_is_no_clip_model_is_refused(folder, tmp_path):
    with pytest.raises(ModelMissing, match=r"config\.json"):
        ClipScorer(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointInvalid, match="'bert'"):
        ClipScorer(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(CheckpointInvalid, match="no model's configuration"):
        ClipScorer(tmp_path)
    shutil.copy(folder / "config.json", tmp_path)
    with pytest.raises(CheckpointInvalid, match="does not load"):
        ClipScorer(tmp_path)
    part = shutil.copytree(folder, tmp_path / "part")
    weights = load_file(part / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, part / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointInvalid, match="lacks 1 tensors, 'visual_projection"):
        ClipScorer(part)
    with pytest.raises(InvalidRequest, match="no frames"):
        ClipScorer(folder).score(PROMPT, [])
