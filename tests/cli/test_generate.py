import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ourvidz.catalog.config import Settings
from ourvidz.core.job import JobState
from ourvidz.jobs.model import JobFilter, Source
from ourvidz.jobs.open import DATABASE_FILE, open_store
from tests.clocks import ManualClock
from tests.jobs.checker import check_job

SMALL = ("--profile", "full", "--width", "64", "--height", "96", "--num-inference-steps", "3")
VIDEO = (*SMALL, "--num-frames", "9", "--seed", "4")
LONG = (*VIDEO[:-4], "--num-frames", "33", "--num-inference-steps", "100")


@pytest.fixture(autouse=True)
def data_dir(tmp_path_factory, monkeypatch):
    """Where jobs are kept: not in the folder whose emptiness is looked at."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("OURVIDZ_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def stored(data_dir):
    """Look up the one job of the store, after its lease would have ended."""
    stores = []

    def look():
        store = open_store(Settings(data_dir=data_dir), clock=ManualClock(1e10))
        store.migrate()
        stores.append(store)
        (job,) = store.list_jobs(JobFilter())
        return store, job

    yield look
    for store in stores:
        store.close()


def test_the_last_line_of_json_has_the_documented_keys(cli, tmp_path):
    outcome = cli("generate", "a red circle", *VIDEO, "--out", "here", "--json")
    assert outcome.code == 0, outcome.err
    summary = outcome.last_json
    assert set(summary) >= {
        "job_id",
        "job_type",
        "preset",
        "state",
        "prompt",
        "enhanced_prompt",
        "seed",
        "model",
        "fidelity",
        "outputs",
        "timing",
        "adjustments",
        "environment",
    }
    assert set(summary["outputs"][0]) >= {
        "path",
        "media_type",
        "width",
        "height",
        "num_frames",
        "fps",
        "duration_s",
        "bytes",
        "thumbnail_path",
    }
    timing = summary["timing"]
    assert set(timing) >= {"total_s", "phases_s", "unattributed_s", "step_s", "state"}
    total = sum(timing["phases_s"].values()) + timing["unattributed_s"]
    assert total == pytest.approx(timing["total_s"], abs=1e-4)
    assert (tmp_path / summary["outputs"][0]["path"]).is_file()


def test_the_job_is_listed_like_any_other(cli, stored, tmp_path):
    outcome = cli("generate", "a red circle", *VIDEO, "--out", "here", "--json")
    assert outcome.code == 0, outcome.err
    listed = cli("jobs", "list", "--json").last_json["jobs"]
    summary = outcome.last_json
    assert [(job["id"], job["state"]) for job in listed] == [(summary["job_id"], "succeeded")]
    store, job = stored()
    assert (job.source, job.request.seed) == (Source.CLI, 4)
    (output,) = job.result["outputs"]
    assert output["path"] == str(tmp_path / summary["outputs"][0]["path"])
    assert job.result["timing"] == summary["timing"]
    assert len(store.records()) == 1
    assert check_job(store, job.id) == []


def test_a_pause_of_the_queue_does_not_hold_it(cli, data_dir):
    assert cli("jobs", "pause", "all").code == 0
    assert cli("generate", "a red circle", *VIDEO).code == 0


@pytest.mark.parametrize("as_json", [False, True])
def test_a_store_that_can_not_be_written_ends_with_a_hint(cli, tmp_path, monkeypatch, as_json):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("OURVIDZ_DATA_DIR", str(tmp_path / "file" / "inside"))
    outcome = cli("generate", "a red circle", *VIDEO, *(("--json",) if as_json else ()))
    assert outcome.code == 1
    assert "write access to data_dir" in outcome.err
    if as_json:
        assert outcome.last_json["error"]["code"] == "store_unavailable"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_the_policy_refuses_is_not_stored(cli, data_dir, monkeypatch):
    monkeypatch.setenv("OURVIDZ_POLICY__MODE", "rules")
    monkeypatch.setenv("OURVIDZ_POLICY__DENY", '{"shapes": "circle"}')
    outcome = cli("generate", "a red circle", *VIDEO, "--json")
    assert outcome.code == 2
    assert outcome.last_json["error"]["code"] == "policy_refused"
    assert list(data_dir.iterdir()) == []


def test_neither_web_nor_postgres_packages_are_imported(data_dir):
    """Up to the engine, whose own imports are another matter."""
    code = """
from ourvidz.catalog.config import catalogue_of, load_settings
from ourvidz.cli.generate import run_one
from ourvidz.jobs.open import open_store
from ourvidz.jobs.submission import Draft, Submitter
from ourvidz.policy.build import build_policy
from ourvidz.worker.inline import run_claimed
import sys

settings = load_settings()
store = open_store(settings)
submitter = Submitter(
    store=store, catalogue=catalogue_of(settings), settings=settings,
    policy=build_policy(settings.policy),
)
store.migrate()
draft = Draft(prompt="a red circle", job_type="image_fast")
submitter.submit_and_claim(draft, submitter.resolve(draft), worker_id="w", lease_s=1.0)
print([name for name in ("fastapi", "uvicorn", "psycopg", "httpx") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
    assert (data_dir / DATABASE_FILE).is_file()


def test_people_see_the_phases_and_the_path(cli):
    outcome = cli("generate", "a red circle", *VIDEO)
    assert outcome.code == 0
    for word in ("denoise", "unattributed", "total", ".mp4", "full profile"):
        assert word in outcome.err
    assert outcome.out == ""


def test_out_may_name_the_file(cli, tmp_path):
    assert cli("generate", "a red circle", *VIDEO, "--out", "clips/red.mp4").code == 0
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == [
        "red.json",
        "red.mp4",
        "red.thumb.webp",
    ]


def test_both_prompts_of_an_enhanced_job_are_kept(cli, tmp_path):
    outcome = cli(
        "generate", "a red circle", *SMALL, "-j", "image7b_fast_enhanced", "-o", "x", "--json"
    )
    assert outcome.code == 0, outcome.err
    (sidecar,) = (tmp_path / "x").glob("*.json")
    account = json.loads(sidecar.read_text(encoding="utf-8"))["enhancement"]
    assert account["original_prompt"] == "a red circle"
    # A random language model rambles: recognised, not used, said on the job.
    assert account["verdict"] in {"runaway", "off_language", "empty", "refused"}
    assert account["enhanced_prompt"] is None
    assert outcome.last_json["adjustments"][0]["code"].startswith("enhancement_")
    assert account["num_tokens_out"] > 0


BAD_INPUT = {
    "frame count": (("--num-frames", "83"), "81 and 85"),
    "size": (("--width", "100"), "96 and 112"),
    "job type": (("--job-type", "video_fsat"), "video_fast"),
    "preset": (("--preset", "agressive"), "aggressive"),
    "steps": (("--num-inference-steps", "1000"), "1 to 100"),
    "guidance": (("--guidance-scale", "-1"), "0 to 20"),
    "scheduler": (("--scheduler", "heun"), "unipc"),
    "profile": (("--profile", "huge"), "pocket or full"),
    "device": (("--device", "tpu"), "cuda"),
    "out of the wrong kind": (("--out", "x.png"), "x.mp4"),
    "fidelity": (("--fidelity", "high"), "bench confirm"),
    "flag": (("--stepps", "3"), ""),
}


@pytest.mark.parametrize(("arguments", "hint"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_exits_2_with_a_hint_and_leaves_nothing(cli, tmp_path, data_dir, arguments, hint):
    outcome = cli("generate", "a red circle", *arguments)
    assert outcome.code == 2
    assert hint in outcome.err
    assert list(tmp_path.iterdir()) == []
    assert list(data_dir.iterdir()) == []


@pytest.mark.parametrize("prompt", ["", "   ", "red " * 2000, "red " * 600])
def test_an_empty_or_over_long_prompt_exits_2(cli, tmp_path, prompt):
    outcome = cli("generate", prompt, *VIDEO, "--json")
    assert outcome.code == 2
    assert outcome.last_json["error"]["param"] == "prompt"
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_exits_2(cli, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    outcome = cli("generate", "a red circle", *VIDEO, "--out", "file/inside", "--json")
    assert outcome.code == 2
    assert outcome.last_json["error"]["code"] == "output_unwritable"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_missing_model_exits_2_with_the_command_that_fetches_it(
    cli, tmp_path, stored, monkeypatch
):
    monkeypatch.setenv("OURVIDZ_MODELS_DIR", str(tmp_path / "none"))
    outcome = cli("generate", "a red circle", *VIDEO, "--json")
    assert outcome.code == 2
    assert outcome.last_json["error"]["code"] == "model_missing"
    assert "ourvidz models pull wan2.1-t2v-1.3b" in outcome.err
    assert list(tmp_path.iterdir()) == []
    store, job = stored()
    assert (job.state, job.error["code"]) == (JobState.FAILED, "model_missing")
    assert check_job(store, job.id) == []


def _truncated(component: Path) -> None:
    (weights,) = component.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])


def _pickled(component: Path) -> None:
    (weights,) = component.glob("*.safetensors")
    weights.unlink()
    (component / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({"weight": 1}))


def _pickle_in_disguise(component: Path) -> None:
    (weights,) = component.glob("*.safetensors")
    weights.write_bytes(pickle.dumps({"weight": 1}))


def _of_another_architecture(component: Path) -> None:
    shutil.rmtree(component)
    shutil.copytree(component.parent / "vae", component)


@pytest.mark.parametrize(
    "damage", [_truncated, _pickled, _pickle_in_disguise, _of_another_architecture]
)
def test_a_bad_checkpoint_exits_2(cli, tmp_path, tiny_models, monkeypatch, damage):
    models = tmp_path / "models"
    shutil.copytree(tiny_models, models)
    monkeypatch.setenv("OURVIDZ_MODELS_DIR", str(models))
    damage(models / "wan2.1-t2v-1.3b" / "transformer")
    outcome = cli("generate", "a red circle", *VIDEO, "--out", "out", "--json")
    assert outcome.code == 2, outcome.err
    assert outcome.last_json["error"]["code"] == "checkpoint_invalid"
    assert outcome.last_json["error"]["hint"]
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def _start(tmp_path, tiny_models, *arguments):
    environment = {
        **os.environ,
        "OURVIDZ_MODELS_DIR": str(tiny_models),
        "OURVIDZ_DEVICE": "cpu",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "ourvidz.cli", "generate", "a red circle", *arguments],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for(process, word):
    for line in process.stderr:
        if word in line:
            return
    raise AssertionError(f"{word!r} never came")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_and_leaves_nothing(tmp_path, tiny_models, stored, number):
    process = _start(tmp_path, tiny_models, *LONG)
    _wait_for(process, "encode")  # denoising begins
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert list(tmp_path.iterdir()) == []
    store, job = stored()
    assert job.state is JobState.CANCELLED
    assert check_job(store, job.id) == []


@pytest.mark.slow
def test_a_killed_process_leaves_a_job_that_nobody_runs_again(tmp_path, tiny_models, stored):
    process = _start(tmp_path, tiny_models, *LONG, "--out", "out/clip.mp4")
    _wait_for(process, "encode")  # denoising begins
    process.kill()
    process.communicate(timeout=60)
    store, job = stored()
    assert job.state is JobState.RUNNING
    assert store.claim("w", lease_s=20.0, overdue_s=900.0) is None
    assert store.reap(max_crashes=3) == (job.id,)
    failed = store.get(job.id)
    assert (failed.state, failed.error["code"]) == (JobState.FAILED, "crashed")
    assert store.claim("w", lease_s=20.0, overdue_s=900.0) is None
    assert check_job(store, job.id) == []


@pytest.mark.slow
def test_a_killed_process_leaves_no_file_under_a_final_name(tmp_path, tiny_models):
    process = _start(tmp_path, tiny_models, *VIDEO, "--out", "out/clip.mp4")
    _wait_for(process, "denoise")  # decoding and saving begin
    process.kill()
    process.communicate(timeout=60)
    finals = [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")]
    assert finals == [] or {path.name for path in finals} >= {"clip.mp4"}
    for path in finals:
        if path.suffix == ".mp4":
            from ourvidz.media.probe import probe

            assert probe(path).num_frames == 9


@pytest.mark.slow
@pytest.mark.parametrize("size_kib", [8, 40], ids=["full at once", "full while saving"])
def test_a_full_disk_exits_2_and_leaves_nothing(tmp_path, tiny_models, size_kib):
    """On a tiny tmpfs in a mount namespace of its own, so that nothing outlives the test."""
    disk = tmp_path / "disk"
    disk.mkdir()
    enter = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size={size_kib}k tmpfs '{disk}'"
    if (
        shutil.which("unshare") is None
        or subprocess.run([*enter, mount], capture_output=True, check=False).returncode
    ):
        pytest.skip("this machine gives no mount namespaces")
    command = [sys.executable, "-m", "ourvidz.cli", "generate", "a red circle", *SMALL]
    # Small enough to pass the check before the work, too large for the disk with its thumbnail.
    size = ("--job-type", "image_fast", "--width", "112", "--height", "112", "--out", str(disk))
    done = subprocess.run(
        [*enter, f'{mount} && "$0" "$@"; echo $?; ls -A \'{disk}\'', *command, *size],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OURVIDZ_MODELS_DIR": str(tiny_models), "OURVIDZ_DEVICE": "cpu"},
    )
    assert done.stdout.split() == ["2"], done.stderr
    assert "space" in done.stderr or "free" in done.stderr


def test_brackets_in_prompts_and_paths_are_shown_as_they_are(cli, tmp_path):
    outcome = cli(
        "generate", "a [bold] red [/] circle", *VIDEO, "--out", "a [red] folder", "--json"
    )
    assert outcome.code == 0
    assert "a [red] folder" in outcome.err
    assert outcome.last_json["prompt"] == "a [bold] red [/] circle"
