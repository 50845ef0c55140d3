"""Judging whole jobs, with one short image job."""

from pathlib import Path

import pytest

from training.pocket import judging
from training.pocket.evaluate_jobs import Share, judge_job_type, prompts_of


@pytest.mark.slow
def test_a_job_is_judged_by_what_its_prompt_names(tmp_path: Path):
    (line,) = judge_job_type(Share(job_type="sdxl_image_fast", count=1), tmp_path)
    assert "colour" in line.verdict or "relation" in line.verdict
    assert "motion" not in line.verdict
    assert "6 files a job" in line.notes
    assert line.aside["all_every_image"] <= all(line.verdict.values())
    assert (tmp_path / line.file).exists()


def test_shards_share_the_prompts():
    whole = prompts_of(Share(job_type="video_fast", count=5))
    parts = [prompts_of(Share(job_type="video_fast", count=5, shard=f"{i}/3")) for i in range(3)]
    assert sorted(n for part in parts for n, _ in part) == [n for n, _ in whole]
    assert {n: p.text for part in parts for n, p in part} == {n: p.text for n, p in whole}


def test_merged_verdicts_are_judged_anew(tmp_path: Path):
    for shard, hits in enumerate(([True, True], [False])):
        lines = [
            judging.Judged(case="c", system="s", prompt=f"{shard} {i}", seed=i, verdict={"a": hit})
            for i, hit in enumerate(hits)
        ]
        judging.append(tmp_path / f"{shard}.jsonl", lines)
    with (tmp_path / "1.jsonl").open("a", encoding="utf-8") as cut_off:
        cut_off.write('{"case": "c", "sys')
    results = judging.results_of(judging.read(sorted(tmp_path.glob("*.jsonl"))))
    assert [(r.metric, r.n, r.value) for r in results] == [
        ("shows_all", 3, 0.6667),
        ("shows_a", 3, 0.6667),
    ]
    assert results[0].low is not None
    assert results[0].low < 0.6667
