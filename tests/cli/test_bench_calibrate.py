import pytest

from ourvidz.catalog.step_plan import DRAFT_NAME, read_calibrations
from ourvidz.checkpoints.locate import SHIPPED_WEIGHTS

MODEL = "wan2.1-t2v-1.3b"
SMALL = (
    "--prompts", "3", "--num-inference-steps", "5", "--width", "64", "--height", "64",
    "--num-frames", "5",
)  # fmt: skip


@pytest.fixture
def folder(tiny_models):
    yield tiny_models / MODEL
    (tiny_models / MODEL / DRAFT_NAME).unlink(missing_ok=True)


def test_random_weights_are_calibrated_and_called_unconfirmed(cli, folder):
    outcome = cli("bench", "calibrate", MODEL, *SMALL, "--json")
    assert outcome.code == 0, outcome.err
    said = outcome.last_json
    assert said["network_calls"] == 6
    assert said["network_calls_exact"] == 10
    assert said["calls_by_step"][:2] == [2, 2]
    assert said["is_confirmed"] is False
    assert "quality unconfirmed" in said["verdict"]
    assert "quality unconfirmed" in outcome.err
    (made,) = read_calibrations(folder / DRAFT_NAME).calibrations
    assert made.plan.num_forwards == 6
    assert not made.is_confirmed
    assert made.measured["checked_prompts"] == 1


@pytest.mark.slow
def test_plans_of_several_settings_share_a_file(cli, folder, tmp_path):
    for target in ("0.8", "0.7"):
        said = cli("bench", "calibrate", MODEL, *SMALL, "--target-calls", target, "--out", "d.json")
        assert said.code == 0, said.err
    cli("bench", "calibrate", MODEL, *SMALL, "--job-type", "video_high", "--out", "d.json")
    found = read_calibrations(tmp_path / "d.json").calibrations
    assert [each.plan.num_forwards for each in found] == [7, 6]
    assert [each.key.guidance_scale for each in found] == [6.5, 7.5]
    assert not (folder / DRAFT_NAME).exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((MODEL, "--target-calls", "1"), "below 1"),
        ((MODEL, "--prompts", "1"), "2 to"),
        ((MODEL, "--job-type", "sdxl_image_fast"), "no steps to leave out"),
        (("sdxl-base-1.0",), "no Wan model"),
        ((MODEL, "--num-inference-steps", "2", "--prompts", "2"), "can't do with"),
        (("nothing",), "nothing"),
    ],
)
def test_what_can_not_be_calibrated_is_refused(cli, arguments, said):
    outcome = cli("bench", "calibrate", *arguments)
    assert outcome.code != 0
    assert said in outcome.err
    assert not (SHIPPED_WEIGHTS / MODEL).exists()
