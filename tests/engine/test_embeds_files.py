"""Embeddings on disk: found again bit for bit, private, bounded, and never another text's."""

import json
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import torch
from safetensors.torch import load_file, save_file

from ourvidz.checkpoints.locate import SHIPPED_WEIGHTS
from ourvidz.checkpoints.manifest import Manifest, SyntheticSource, record_folder, write_manifest
from ourvidz.core.errors import ModelMissing
from ourvidz.engine import embed_files
from ourvidz.engine.embed_files import EmbedFiles, encoder_identity
from ourvidz.engine.embeds import TextEmbedCache, TextEmbeds, TextKey
from ourvidz.models.wan import encode as wan_encode
from ourvidz.models.wan import load as wan_load

TEXT = "a secret red circle moving left"


def key(text=TEXT, **values):
    return TextKey(
        **{
            "encoder": "e",
            "text": text,
            "max_length": 8,
            "dtype": "bfloat16",
            "device_type": "cpu",
            **values,
        }
    )


def embeds(seed=0, *, rows=3, length=8, width=4, pooled=False, dtype=torch.bfloat16):
    generator = torch.Generator().manual_seed(seed)
    prompt_embeds = torch.zeros(1, length, width, dtype=dtype)
    prompt_embeds[:, :rows] = torch.randn(1, rows, width, generator=generator).to(dtype)
    return TextEmbeds(
        prompt_embeds=prompt_embeds,
        num_rows=rows,
        num_tokens=rows,
        num_truncated_tokens=1,
        pooled_prompt_embeds=torch.randn(1, 5, generator=generator).to(dtype) if pooled else None,
    )


def assert_equal(found, expected):
    assert found.prompt_embeds.dtype == expected.prompt_embeds.dtype
    assert torch.equal(found.prompt_embeds, expected.prompt_embeds)
    assert found.num_rows == expected.num_rows
    assert found.num_tokens == expected.num_tokens
    assert found.num_truncated_tokens == expected.num_truncated_tokens
    if expected.pooled_prompt_embeds is None:
        assert found.pooled_prompt_embeds is None
    else:
        assert torch.equal(found.pooled_prompt_embeds, expected.pooled_prompt_embeds)


@pytest.fixture
def files(tmp_path):
    return EmbedFiles(tmp_path / "embeds")


def the_file(files):
    (path,) = files._folder.glob("??/*.safetensors")
    return path


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("pooled", [False, True])
def test_what_is_put_is_found_bit_for_bit_with_its_zeros(files, dtype, pooled):
    put = embeds(pooled=pooled, dtype=dtype)
    assert files.get(key()) is None
    assert files.put(key(), put)
    assert key() in files
    assert_equal(files.get(key()), put)


def test_another_process_finds_it(files):
    files.put(key(), embeds())
    assert_equal(EmbedFiles(files._folder).get(key()), embeds())


@pytest.mark.parametrize(
    "other",
    [
        {"text": TEXT + "."},
        {"encoder": "f"},
        {"max_length": 9},
        {"dtype": "float32"},
        {"device_type": "cuda"},
    ],
)
def test_every_part_of_the_key_counts(files, other):
    files.put(key(), embeds())
    assert files.get(key(**other)) is None
    assert files.get(key()) is not None


def test_only_used_rows_are_stored(files):
    files.put(key(), embeds(rows=2, length=512, width=64))
    tensors = load_file(the_file(files))
    assert tensors["prompt_embeds"].shape == (1, 2, 64)
    assert the_file(files).stat().st_size < 2 * 64 * 2 + 1024


def test_a_file_is_private_and_holds_no_text(files):
    files.put(key(), embeds())
    path = the_file(files)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    content = path.read_bytes()
    for word in ("secret", "circle", "moving"):
        assert word.encode() not in content
    assert TEXT not in repr(key())


def test_nothing_half_written_stays(files, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embed_files.os, "replace", fail)
    assert not files.put(key(), embeds())
    assert not [path for path in files._folder.rglob("*") if path.is_file()]


def test_a_folder_that_cant_be_made_fails_no_job(tmp_path):
    (tmp_path / "taken").write_text("")
    files = EmbedFiles(tmp_path / "taken")
    assert not files.put(key(), embeds())
    assert files.get(key()) is None
    files.clear()


DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-1],
    "header": lambda content: content[:8] + b"x" + content[9:],
    "length": lambda content: b"\xff" * 8 + content[8:],
    "one bit": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "not ours": lambda content: b"x" * 100,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_removed_and_made_again(files, damage):
    files.put(key(), embeds())
    path = the_file(files)
    path.write_bytes(damage(path.read_bytes()))
    assert files.get(key()) is None
    assert not path.exists()
    assert files.put(key(), embeds())
    assert_equal(files.get(key()), embeds())


def test_a_file_of_another_key_is_never_taken(files):
    """As after a collision of names, or a file copied by hand."""
    files.put(key("another text"), embeds(1))
    wrong = the_file(files)
    right = files._path(key())
    right.parent.mkdir(exist_ok=True)
    wrong.rename(right)
    assert files.get(key()) is None
    assert not right.exists()


def test_metadata_that_lies_about_shapes_is_refused(files):
    files.put(key(), embeds())
    path = the_file(files)
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    metadata = {**header["__metadata__"], "sequence_length": "1"}
    save_file(load_file(path), path, metadata=metadata)
    assert files.get(key()) is None


def test_the_bound_holds_and_the_least_recently_used_go_first(tmp_path):
    size = len(embed_files._compose(key("00"), embeds()))
    files = EmbedFiles(tmp_path, max_bytes=4 * size)
    for number in range(4):
        files.put(key(f"{number:02}"), embeds(number))
        os.utime(files._path(key(f"{number:02}")), ns=(number, number))
    assert files.get(key("00")) is not None  # used: now the youngest
    files.put(key("04"), embeds(4))
    kept = [number for number in range(5) if key(f"{number:02}") in files]
    assert kept == [0, 3, 4]  # 0.9 of the bound
    assert not EmbedFiles(tmp_path, max_bytes=size - 1).put(key("05"), embeds())
    off = EmbedFiles(tmp_path, max_bytes=0)
    assert off.get(key("04")) is None
    assert not off.put(key("05"), embeds())
    files.clear()
    assert not any(key(f"{number:02}") in files for number in range(5))


def test_leftovers_of_killed_writers_go_with_an_eviction(tmp_path):
    size = len(embed_files._compose(key("a"), embeds()))
    files = EmbedFiles(tmp_path, max_bytes=2 * size - 1)
    files.put(key("a"), embeds())
    folder = files._path(key("a")).parent
    old = folder / ".x.partial-0123456789abcdef.safetensors"
    young = folder / ".y.partial-0123456789abcdef.safetensors"
    for path in (old, young):
        path.write_bytes(b"x" * size)
    os.utime(old, ns=(0, 0))
    files.put(key("b"), embeds())
    assert young.exists()
    assert not old.exists()


def test_the_cache_asks_memory_first_and_files_below(files):
    cache = TextEmbedCache(files=files)
    assert cache.get(key(), "cpu") is None
    cache.put(key(), embeds(pooled=True))
    assert_equal(cache.get(key(), "cpu"), embeds(pooled=True))
    the_file(files).unlink()
    assert_equal(cache.get(key(), "cpu"), embeds(pooled=True))
    files.put(key(), embeds(pooled=True))
    fresh = TextEmbedCache(files=files)
    assert_equal(fresh.get(key(), "cpu"), embeds(pooled=True))
    assert len(fresh) == 1
    fresh.clear()
    assert len(fresh) == 0
    assert fresh.get(key(), "cpu") is not None


def test_memory_is_bounded_by_used_rows():
    used_bytes = 3 * 4 * 2
    cache = TextEmbedCache(max_bytes=2 * used_bytes)
    for name in "ab":
        cache.put(key(name), embeds())
    assert cache.get(key("a"), "cpu") is not None
    cache.put(key("c"), embeds())
    assert [cache.get(key(name), "cpu") is not None for name in "abc"] == [True, False, True]
    cache.put(key("large"), embeds(rows=8, width=64))
    assert cache.get(key("large"), "cpu") is None


def test_changing_what_was_given_changes_nothing_kept():
    cache = TextEmbedCache()
    given = embeds()
    cache.put(key(), given)
    given.prompt_embeds.add_(1)
    found = cache.get(key(), "cpu")
    assert_equal(found, embeds())


# ------------------------------------------------------------------------- the encoder's identity


def make_model(root, *, seed=b"a", large=False):
    size = embed_files._WHOLE_BYTES + 1000 if large else 1000
    for name in ("text_encoder", "tokenizer"):
        (root / name).mkdir(parents=True)
    (root / "text_encoder/config.json").write_text("{}")
    with (root / "text_encoder/model.safetensors").open("wb") as file:
        file.write(seed * 100)
        file.truncate(size)
    (root / "tokenizer/spiece.model").write_bytes(b"words")
    return root


NAMES = ("text_encoder", "tokenizer")


@pytest.fixture
def small_samples(monkeypatch):
    monkeypatch.setattr(embed_files, "_WHOLE_BYTES", 100_000)


def record(root):
    source = SyntheticSource(family="wan", size="tiny", seed=0, dtype=None)
    write_manifest(
        root, Manifest(source=source, created_at=datetime.now(UTC), files=record_folder(root))
    )


def test_equal_files_are_equal_wherever_they_are(tmp_path):
    here = encoder_identity(make_model(tmp_path / "here"), NAMES)
    assert here == encoder_identity(make_model(tmp_path / "there"), NAMES)
    assert here != encoder_identity(tmp_path / "here", NAMES[:1])
    assert here != encoder_identity(tmp_path / "here", NAMES, made_with=("transformers 6",))
    assert here != encoder_identity(make_model(tmp_path / "other", seed=b"b"), NAMES)


@pytest.mark.parametrize("name", ["text_encoder/config.json", "tokenizer/spiece.model"])
def test_every_file_counts_even_at_the_same_length_and_time(tmp_path, name):
    before = encoder_identity(make_model(tmp_path / "a"), NAMES)
    changed = make_model(tmp_path / "b")
    (changed / name).write_bytes((changed / name).read_bytes().swapcase().replace(b"{}", b"[]"))
    facts = (tmp_path / "a" / name).stat()
    os.utime(changed / name, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert encoder_identity(changed, NAMES) != before


def test_large_files_are_known_by_samples_and_their_recorded_hash(tmp_path, small_samples):
    here, there = (make_model(tmp_path / name, large=True) for name in ("here", "there"))
    weights = there / "text_encoder/model.safetensors"
    os.utime(weights, ns=(1, 1))
    assert encoder_identity(here, NAMES) != encoder_identity(there, NAMES)  # time, no manifest
    for root in (here, there):
        record(root)
    assert encoder_identity(here, NAMES) == encoder_identity(there, NAMES)
    with weights.open("r+b") as file:  # other weights under the old manifest
        file.write(b"changed")
    assert encoder_identity(here, NAMES) != encoder_identity(there, NAMES)


def test_a_missing_component_is_said_and_a_broken_manifest_is_not_asked(tmp_path):
    root = make_model(tmp_path / "model")
    expected = encoder_identity(root, NAMES)
    (root / "ourvidz-manifest.json").write_text("{")
    assert encoder_identity(root, NAMES) == expected
    with pytest.raises(ModelMissing, match="text_encoder_2"):
        encoder_identity(root, ("text_encoder_2",))


# --------------------------------------------------------------------------- on a trained encoder


@pytest.fixture(scope="module")
def pocket():
    root = SHIPPED_WEIGHTS / "pocket-video"
    return {
        "tokenizer": wan_load.load_tokenizer(root / "tokenizer"),
        "text_encoder": wan_load.load_text_encoder(
            root / "text_encoder", device="cpu", dtype=torch.float32
        ),
        "max_sequence_length": 96,
    }


POCKET_TEXTS = (
    "a large red circle moving left over a green background",
    "blurry, low quality, flicker",
    "",
)


def test_a_text_alone_is_what_the_library_makes_and_a_batch_differs_by_rounding(pocket):
    from diffusers import WanPipeline

    pipeline = WanPipeline.__new__(WanPipeline)
    pipeline.tokenizer, pipeline.text_encoder = pocket["tokenizer"], pocket["text_encoder"]
    together = wan_encode.encode(POCKET_TEXTS, **pocket).prompt_embeds
    for text, row in zip(POCKET_TEXTS, together, strict=True):
        alone = wan_encode.encode([text], **pocket).prompt_embeds
        with torch.no_grad():
            library = pipeline._get_t5_prompt_embeds(
                text, max_sequence_length=96, device=torch.device("cpu"), dtype=torch.float32
            )
        assert torch.equal(alone, library)
        torch.testing.assert_close(alone[0], row, rtol=0, atol=1e-6)


def test_trained_embeddings_come_back_from_disk_bit_for_bit(pocket, files):
    root = SHIPPED_WEIGHTS / "pocket-video"
    encoder = encoder_identity(root, NAMES)
    for text in POCKET_TEXTS:
        made = wan_encode.encode([text], **pocket)
        put = TextEmbeds(
            prompt_embeds=made.prompt_embeds,
            num_rows=made.num_tokens[0],
            num_tokens=made.num_tokens[0],
            num_truncated_tokens=made.num_truncated_tokens[0],
        )
        cache = TextEmbedCache(files=files)
        text_key = key(wan_encode.clean_prompt(text), encoder=encoder, max_length=96)
        cache.put(text_key, put)
        for found in (cache, TextEmbedCache(files=files)):
            assert_equal(found.get(text_key, "cpu"), put)
        assert cache.get(replace(text_key, max_length=95), "cpu") is None


def test_the_files_of_a_model_are_read_once_a_process(monkeypatch):
    root = SHIPPED_WEIGHTS / "pocket-video"
    first = encoder_identity(root, NAMES)
    monkeypatch.delattr(embed_files, "_fingerprint")
    assert encoder_identity(root, NAMES) == first
