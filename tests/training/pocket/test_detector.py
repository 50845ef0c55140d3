"""The judge reads drawn truth rightly, rejects lies and faults, and sees nothing in noise.

The same checks with thousands of files: `python -m training.pocket.detector_truth`.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from ourvidz.bench.records import read_record
from ourvidz.perf.quality.pocket import detector
from training.pocket.detector_truth import (
    CLIPS,
    FAULTS,
    FRAMES,
    NOISE,
    Answer,
    all_named,
    fault_answers,
    lies,
    noise_answers,
    random_scene,
    results,
    tasks,
    truth_answers,
)
from training.pocket.world import SHAPES, Scene, draw_scene, sample_scene

RECORD = Path(__file__).parents[3] / "benchmarks" / "records" / "pocket-detector.json"


def _wrong(answers: list[Answer]) -> list[Answer]:
    """Truth, lies and faults that were not judged as they should be."""
    return [a for a in answers if a.metric != "see_ms" and a.value != 1.0]


@pytest.mark.parametrize("kind", FRAMES, ids=lambda kind: kind.name)
def test_single_frames_and_lies_about_them_are_judged_rightly(kind) -> None:
    answers = [a for i in range(15) for a in truth_answers(kind, f"test/{i}")]

    assert _wrong(answers) == []


@pytest.mark.parametrize("kind", CLIPS, ids=lambda kind: kind.name)
def test_clips_and_lies_about_them_are_judged_rightly_through_coding(kind) -> None:
    answers = [a for i in range(4) for a in truth_answers(kind, f"test/{i}")]

    assert _wrong(answers) == []


@pytest.mark.parametrize("name", [n for n, fault in FAULTS.items() if fault.frames])
def test_faults_of_single_frames_are_judged_as_the_table_says(name: str) -> None:
    answers = [a for i in range(4) for a in fault_answers(name, FRAMES[i], f"test/{i}")]

    assert answers
    assert _wrong(answers) == []


@pytest.mark.parametrize("name", [n for n, f in FAULTS.items() if f.clips or f.moving])
def test_faults_of_clips_are_judged_as_the_table_says(name: str) -> None:
    answers = [a for i in (1, 3) for a in fault_answers(name, CLIPS[i], f"test/{i}")]

    assert answers
    assert _wrong(answers) == []


@pytest.mark.parametrize("name", NOISE)
def test_noise_shows_no_object(name: str) -> None:
    answers = [a for i in range(12) for a in noise_answers(name, FRAMES[i % 4], f"test/{i}")]

    assert all(a.value == 0.0 for a in answers if a.metric != "grants_background")


@pytest.mark.parametrize("num_frames", [1, 5])
def test_noise_and_emptiness_show_nothing(num_frames: int) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (num_frames, 96, 64, 3), dtype=np.uint8)
    empty = np.full((num_frames, 96, 64, 3), 8, dtype=np.uint8)

    assert detector.see(noise).things == ()
    assert detector.see(noise).background is None
    assert detector.see(empty).things == ()
    assert detector.see(empty).background == "black"


def test_a_wrong_answer_is_called_wrong() -> None:
    scene = sample_scene(random.Random(1), video=False)
    other = sample_scene(random.Random(2), video=False)
    seen = detector.see(draw_scene(other, num_frames=1, height=160, width=96))
    verdict = detector.judge(
        scene, seen, named=frozenset({"colour", "background"}), height=160, width=96
    )

    assert not all(verdict.values())


def test_every_attribute_is_lied_about_and_nothing_else_changes() -> None:
    rng = random.Random(0)
    for video in (False, True):
        for _ in range(20):
            scene = random_scene(rng, video=video)
            told = list(lies(scene, rng))
            assert {attribute for _, attribute, _ in told} == all_named(scene)
            assert all(changed != scene for _, _, changed in told)


def test_components_are_four_connected() -> None:
    mask = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [1, 0, 1, 0]], dtype=bool)

    assert len(np.unique(detector.components(mask))) == 1 + 4


def _flooded(mask: np.ndarray) -> np.ndarray:
    """Regions by the plainest means."""
    labels, count = np.zeros(mask.shape, np.int64), 0
    for row, column in np.argwhere(mask):
        if labels[row, column]:
            continue
        count += 1
        todo = [(row, column)]
        while todo:
            r, c = todo.pop()
            inside = 0 <= r < mask.shape[0] and 0 <= c < mask.shape[1]
            if inside and mask[r, c] and not labels[r, c]:
                labels[r, c] = count
                todo += [(r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)]
    return labels


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.8, 1.0])
def test_components_equal_a_flood_fill(share: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        mask = rng.random((17, 23)) < share
        assert np.array_equal(detector.components(mask), _flooded(mask))


def test_each_shape_is_told_from_the_others_at_any_place() -> None:
    rng = random.Random(0)
    for shape in SHAPES:
        for _ in range(4):
            scene = random_scene(rng, video=False)
            while len(scene.things) > 1 or scene.things[0].shape != shape:
                scene = random_scene(rng, video=False)
            frame = draw_scene(scene, num_frames=1, height=96, width=96, seed=rng.getrandbits(16))
            (thing,) = detector.look(frame[0])[1]
            assert thing.shape == shape
            assert thing.cover > 0.9


def test_colours_of_both_writers_read_back_alike(tmp_path: Path) -> None:
    """Files that the product tags as BT.709 and files without tags show the same colours."""
    from training.pocket.detector_truth import through_file
    from training.pocket.judging import write_file

    scene = Scene(
        things=sample_scene(random.Random(4), video=True).things, background="navy", motion="left"
    )
    frames = draw_scene(scene, num_frames=5, height=96, width=64)
    write_file(frames, tmp_path / "plain.mp4")
    for read in (through_file(frames, tmp_path), detector.read_frames(tmp_path / "plain.mp4")):
        flat = np.median(np.abs(read.astype(int) - frames), axis=(0, 1, 2))
        assert flat.max() <= 5


def test_figures_count_truth_over_all_sizes() -> None:
    todo = tasks(frames=1, clips=0, faults=0, noise=1, seed=3)
    rows = results([answer for task in todo for answer in task()])
    found = {(row.case, row.metric): row for row in rows}

    assert len(todo) == len(FRAMES) + len(NOISE)
    assert found["frames", "reads_all"].n == len(FRAMES)
    assert found["noise_uniform", "sees_object"].value == 0
    assert found["frame_160x96", "see_ms"].unit == "ms"


def test_the_committed_record_proves_the_judge() -> None:
    rows = {(row.case, row.metric): row for row in read_record(RECORD).results}

    for case, least in (("frames", 3000), ("clips", 600)):
        assert rows[case, "reads_all"].n >= least
    shares = [r for r in rows.values() if r.metric.startswith(("reads_", "rejects_"))]
    assert all(row.value >= 0.995 for row in shares if row.n >= 200)
