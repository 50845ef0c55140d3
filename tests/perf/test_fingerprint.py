"""The environment of a record: stable, complete, and without a name of anybody."""

import getpass
import json
import platform
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ourvidz.checkpoints.manifest import (
    LocalSource,
    Manifest,
    record_folder,
    write_manifest,
)
from ourvidz.core.errors import ModelMissing
from ourvidz.core.request import Fidelity
from ourvidz.perf.fingerprint import Fingerprints, attention_choices, disk_kind, files_hash
from tests.jobs.factory import PLAN, make_request


@pytest.fixture
def folder(tmp_path):
    """A small model's folder."""
    made = tmp_path / "secret-place" / "model"
    (made / "unet").mkdir(parents=True)
    (made / "model_index.json").write_text("{}")
    (made / "unet" / "weights.safetensors").write_bytes(bytes(range(256)) * 64)
    return made


def make(folder, **values):
    return Fingerprints(
        **{"device": "cpu", "precision": "float32", "locate": lambda _: folder, **values}
    )


def test_it_has_four_parts_of_plain_values(folder):
    found = make(folder, runtime={"cuda": "13.0"}).of(make_request(enhancement=PLAN))
    assert set(found) == {"version", "machine", "setup", "software", "told"}
    assert json.loads(json.dumps(found)) == found
    assert found["machine"]["device"] == "cpu"
    assert found["machine"]["cpu_cores"] >= 1
    assert found["machine"]["cpu"]
    assert set(found["setup"]["model_files"]) == {"image-model", "enhancer-model"}
    assert found["setup"]["precision"] == "float32"
    assert found["software"]["cuda"] == "13.0"
    assert {"ourvidz", "commit", "python", "numpy"} <= set(found["software"])
    assert "sdxl.fused" in found["told"]["techniques_on"]


def test_it_names_neither_person_nor_machine_nor_place(folder):
    text = json.dumps(make(folder).of(make_request()))
    assert platform.node() not in text
    assert f'"{getpass.getuser()}"' not in text
    assert "secret-place" not in text
    assert str(folder) not in text


def test_it_is_the_same_every_time(folder):
    assert make(folder).of(make_request(seed=1)) == make(folder).of(make_request(seed=2))


def test_techniques_off_and_offers_decide_where_they_matter(folder):
    request = make_request()
    assert make(folder, techniques_off=["sdxl.fused"]).of(request)["setup"]["techniques_off"] == [
        "sdxl.fused"
    ]
    draft = replace(request, fidelity=Fidelity.DRAFT)
    assert make(folder).of(draft)["setup"]["offers_high"] is False
    found = make(folder, high_models=["image-model"])
    assert found.of(draft)["setup"]["offers_high"] is True
    assert "offers_high" not in found.of(request)["setup"]


def test_a_group_is_another_setup_and_one_gpu_is_as_it_was(folder):
    alone, group = (make(folder, group_size=size).of(make_request()) for size in (1, 4))
    assert alone["setup"] == make(folder).of(make_request())["setup"]
    assert group["setup"] == {**alone["setup"], "group_size": 4}


def test_a_model_that_is_not_there_has_no_hash():
    def locate(model_id):
        raise ModelMissing(model_id)

    found = make(None, locate=locate).of(make_request())
    assert found["setup"]["model_files"] == {"image-model": None}
    assert found["machine"]["disk"] is None


def test_the_hash_is_of_the_content(folder, tmp_path):
    before = files_hash(folder)
    copy = tmp_path / "elsewhere"
    (copy / "unet").mkdir(parents=True)
    for path in ("model_index.json", "unet/weights.safetensors"):
        (copy / path).write_bytes((folder / path).read_bytes())
    assert files_hash(copy) == before
    (folder / "README.md").write_text("more words")
    assert files_hash(folder) == before
    weights = folder / "unet" / "weights.safetensors"
    weights.write_bytes(bytes(range(255, -1, -1)) * 64)
    assert files_hash(folder) != before


def test_a_large_file_is_sampled_from_first_to_last_byte(folder, monkeypatch):
    monkeypatch.setattr("ourvidz.perf.fingerprint._WHOLE_BYTES", 1024)
    weights = folder / "unet" / "weights.safetensors"
    content = bytearray(400_000)
    weights.write_bytes(content)
    hashes = {files_hash(folder)}
    for position in (0, len(content) - 1):
        content[position] = 1
        weights.write_bytes(content)
        hashes.add(files_hash(folder))
    content.append(0)
    weights.write_bytes(content)
    hashes.add(files_hash(folder))
    assert len(hashes) == 4


def test_recorded_hashes_are_taken_where_lengths_fit(folder):
    manifest = Manifest(
        source=LocalSource(path="x"),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        files=record_folder(folder),
    )
    write_manifest(folder, manifest)
    before = files_hash(folder)
    weights = folder / "unet" / "weights.safetensors"
    weights.write_bytes(bytes(weights.stat().st_size))  # as long: the record is believed
    assert files_hash(folder) == before
    weights.write_bytes(b"shorter")
    assert files_hash(folder) != before


def test_loras_belong_to_the_model(folder, tmp_path):
    lora = tmp_path / "lora.safetensors"
    lora.write_bytes(b"1234")
    plain = make(folder).of(make_request())["setup"]["model_files"]
    half = make(folder, loras={"image-model": [(lora, 0.5)]}).of(make_request())
    whole = make(folder, loras={"image-model": [(lora, 1.0)]}).of(make_request())
    texts = {found["image-model"] for found in (plain, half["setup"]["model_files"])}
    assert len(texts | {whole["setup"]["model_files"]["image-model"]}) == 3


def test_the_choice_of_attention_is_told(tmp_path):
    key = {"gpu": "NVIDIA H200", "torch": "2.11", "dtype": "torch.bfloat16", "shape": "1x9x9x2x64"}
    entries = {
        json.dumps(["attention", ["a", "b"], key]): {"winner": "b", "seconds": {}},
        json.dumps(["attention", ["a"], {**key, "gpu": "another"}]): {"winner": "a"},
        json.dumps(["linear", ["a"], key]): {"winner": "a"},
        "not ours": 1,
    }
    assert attention_choices(tmp_path, None) == {}
    (tmp_path / "kernel-choices.json").write_text(json.dumps(entries))
    assert attention_choices(tmp_path, "NVIDIA H200") == {"torch.bfloat16 1x9x9x2x64": "b"}
    (tmp_path / "kernel-choices.json").write_text("[cut")
    assert attention_choices(tmp_path, "NVIDIA H200") == {}
    assert attention_choices(None, None) == {}


def test_the_kind_of_disk_is_known_or_none(tmp_path):
    kinds = {"nvme", "ssd", "hdd", "virtual", "memory", "network", "overlay", "zfs", "btrfs", None}
    assert disk_kind(tmp_path) in kinds
    assert disk_kind(tmp_path / "not" / "there") == disk_kind(tmp_path)
