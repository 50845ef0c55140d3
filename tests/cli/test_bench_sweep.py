import json

import pytest

SWEEP = (
    *("bench", "sweep", "--profile", "full", "-j", "image_fast", "--force", "--n", "2"),
    *("--set", "num_inference_steps=2", "--set", "width=64", "--set", "height=64"),
)


@pytest.mark.slow
def test_a_sweep_keeps_a_record_that_claims_are_held_against(cli, tmp_path):
    found = cli(*SWEEP, "--vary", "scheduler=unipc,euler", "--prompts", "1", "--json")
    assert found.code == 0, found.err
    sweep = found.last_json["run"]["details"]["sweep"]
    preset, euler = sweep["settings"]
    assert (preset["case"], preset["n"], preset["advice"]) == ("image_fast", 2, None)
    assert (euler["advice"], euler["speed"]["difference"]["num_frames"]) == ("test first", 1)
    (record,) = found.last_json["records"]
    (result,) = json.loads((tmp_path / record).read_text())["results"]
    assert result["case"] == "image_fast.scheduler.unipc-to-euler"
    assert (result["metric"], result["unit"], result["n"]) == ("end_to_end_change", "%", 2)

    run = found.last_json["run"]["id"]
    pair = (f"{run}:image_fast", f"{run}:scheduler=euler")
    refused = cli("bench", "compare", *pair)
    assert refused.code == 2
    assert "scheduler (unipc, euler)" in refused.err
    compared = cli("bench", "compare", *pair, "--factor", "scheduler", "--json")
    assert compared.code == 0
    (comparison,) = compared.last_json["comparisons"]
    assert comparison["outcome"] == "indicative"
    assert comparison["speed"]["difference"] == euler["speed"]["difference"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "A sweep varies something"),
        (("--vary", "scheduler=magic"), "magic"),
        (("--vary", "num_frames=17"), "num_frames does not apply"),
        (("--vary", "scheduler=euler", "--prompts", "99"), "99 prompts"),
    ],
)
def test_what_can_not_be_swept_is_refused(cli, arguments, said):
    found = cli(*SWEEP, *arguments)
    assert found.code == 2
    assert said in found.err


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (("bench_1", "bench_2"), "no protocol run 'bench_1'"),
        (("broken.jsonl", "broken.jsonl"), "Line 1 of broken.jsonl"),
        (("empty.jsonl", "empty.jsonl"), "holds no run that counts"),
    ],
)
def test_runs_that_can_not_be_read_are_refused(cli, tmp_path, pair, said):
    (tmp_path / "broken.jsonl").write_text("{}\n")
    (tmp_path / "empty.jsonl").write_text("")
    found = cli("bench", "compare", *pair)
    assert found.code in (1, 2)
    assert said in found.err
