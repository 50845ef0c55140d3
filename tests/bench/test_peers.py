"""Turns and figures with made-up lanes; then the real cases on the pocket models."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from ourvidz.bench import peers
from ourvidz.bench.cases import LIBRARY, LIBRARY_BEST, OURS, bar_of, find_case
from ourvidz.bench.floors import Ceilings, Kind, Precision
from ourvidz.bench.ours import _process_of
from ourvidz.bench.peers import Bench, Lane, Options, append, check_record, results_of, take_turns
from ourvidz.bench.records import BenchmarkResult, new_record, read_record, write_record
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.core.errors import InvalidRequest
from ourvidz.core.request import Fidelity

CASE = find_case("video_fast")


def lane(system, *values, fidelity="library", metric="seconds", log=None):
    """Return a lane that answers with ``values``, one a run; an exception is raised."""
    answers = iter(values)

    def run():
        if log is not None:
            log.append(system)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return {metric: answer}

    return Lane(system=system, fidelity=fidelity, run=run, warm_up=lambda: None)


def ours(*values, fidelity="exact", **options):
    return lane(OURS, *values, fidelity=fidelity, **options)


class Clock:
    """Each look at it is one second later, and each run takes what it says."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


# ------------------------------------------------------------------------------------------- turns


def test_lanes_run_in_turns():
    log = []
    lanes = [ours(1.0, 1.0, log=log), lane(LIBRARY, 2.0, 2.0, log=log)]
    failed, rounds = take_turns(lanes, repeats=2, end_s=1e9)
    assert log == [OURS, LIBRARY, OURS, LIBRARY]
    assert not failed
    assert [samples[lanes[1]]["seconds"] for samples in rounds] == [2.0, 2.0]


@pytest.mark.parametrize(("end_s", "expected"), [(0.0, 1), (29.0, 2), (30.0, 3), (99.0, 5)])
def test_no_round_begins_that_would_end_after_the_budget(end_s, expected):
    clock = Clock()

    def run():
        clock.now_s += 10.0
        return {"seconds": 10.0}

    only = Lane(system=OURS, fidelity="exact", run=run, warm_up=lambda: None)
    _, rounds = take_turns([only], repeats=5, end_s=end_s, now_s=clock)
    assert len(rounds) == expected


def test_a_system_that_fails_is_left_out_and_the_others_go_on():
    lanes = [
        ours(1.0, 1.0),
        ours(RuntimeError("no such kernel\ntrace"), 9.0, fidelity="high"),
        lane(LIBRARY, 2.0, 2.0),
    ]
    failed, rounds = take_turns(lanes, repeats=2, end_s=1e9)
    assert failed == {lanes[1]: "no such kernel"}
    assert all(set(samples) == {lanes[0], lanes[2]} for samples in rounds)


def test_our_own_failure_is_an_error():
    with pytest.raises(ValueError, match="broken"):
        take_turns([ours(ValueError("broken"))], repeats=1, end_s=1e9)


def test_warm_up_leaves_out_what_can_not_run_here():
    def refuse():
        raise RuntimeError("needs CUDA")

    best = Lane(system=LIBRARY_BEST, fidelity="library", run=dict, warm_up=refuse)
    exact = ours(1.0)
    ready, failures = peers._warmed_up([exact, best], lambda text: None)
    assert ready == [exact]
    assert failures == ["diffusers-best: needs CUDA"]
    broken = Lane(system=OURS, fidelity="exact", run=dict, warm_up=refuse)
    with pytest.raises(RuntimeError):
        peers._warmed_up([broken], lambda text: None)


# ----------------------------------------------------------------------------------------- figures


def figures(lanes, rounds, **floors):
    by_id = {id(lanes[int(index[1:])]): value for index, value in floors.items()}
    found = results_of(CASE, lanes, rounds, floors=by_id, notes="notes")
    return {(result.system, result.fidelity, result.metric): result for result in found}


def test_ratios_are_made_within_a_round():
    lanes = [ours(), lane(LIBRARY), lane(LIBRARY_BEST)]
    times = [(1.0, 2.0, 4.0), (3.0, 3.0, 4.0), (10.0, 20.0, 20.0)]  # a machine that slows down
    rounds = [dict(zip(lanes, ({"seconds": value} for value in row), strict=True)) for row in times]
    found = figures(lanes, rounds, _0=0.5, _1=0.5)
    ratio = found[OURS, "exact", "ratio_to_diffusers"]
    assert (ratio.low, ratio.value, ratio.high, ratio.n) == (0.5, 0.5, 1.0, 3)
    assert found[OURS, "exact", "ratio_to_diffusers_best"].value == 0.5
    assert found[OURS, "exact", "ratio_to_floor"].value == 6.0
    assert found[LIBRARY, "library", "ratio_to_floor"].value == 6.0
    assert found[OURS, "exact", "seconds"].value == 3.0
    assert (LIBRARY, "library", "ratio_to_diffusers") not in found
    assert (LIBRARY_BEST, "library", "ratio_to_floor") not in found


def test_of_tokens_the_time_of_one_is_compared():
    lanes = [ours(), lane(LIBRARY)]
    rounds = [
        {
            lanes[0]: {"seconds": 1.0, "tokens_per_s": 100.0},
            lanes[1]: {"seconds": 1.0, "tokens_per_s": 25.0},
        }
    ]
    assert figures(lanes, rounds)[OURS, "exact", "ratio_to_diffusers"].value == 0.25


def test_phases_are_figures_of_ours_without_a_bar():
    only = ours()
    rounds = [
        {only: {"seconds": 3.0, "phase.decode": 1.0, "phase.load.vae": 0.5}},
        {only: {"seconds": 2.0, "phase.decode": 2.0}},  # resident by now
    ]
    found = figures([only], rounds)
    decode, load = (found[OURS, "exact", f"phase.{name}"] for name in ("decode", "load.vae"))
    assert (decode.low, decode.value, decode.high, decode.unit) == (1.0, 1.5, 2.0, "s")
    assert (load.low, load.high) == (0.0, 0.5)
    assert bar_of("video_fast", "exact", "phase.decode") is None


def test_a_process_is_accounted_for_until_its_first_step():
    def span(phase, start_s, end_s, *, is_background=False, **facts):
        return {
            "phase": phase,
            "start_s": start_s,
            "end_s": end_s,
            "is_background": is_background,
            "facts": facts,
        }

    spans = [
        span("startup", 0.0, 2.0, what="process"),
        span("startup", 2.5, 6.0, what="imports"),
        span("load.transformer", 6.0, 7.0, is_background=True),
        span("prepare", 7.0, 8.0),
        span("denoise", 8.0, 20.0),
        span("decode", 20.0, 21.0),
    ]
    sidecar = {"spans": spans, "step_times_s": [0.5, 0.1], "timing": {"state": "warm"}}
    found = _process_of(sidecar, 22.0)
    assert (found.to_first_step_s, found.first_step_s) == (8.0, 0.5)
    assert found.phases_s == {
        "startup.process": 2.0,
        "startup.imports": 3.5,
        "load.transformer": 1.0,
        "prepare": 1.0,
        "unattributed": 0.5,
    }
    assert sum(found.phases_s.values()) == found.to_first_step_s


def test_remarks_stand_in_the_notes_once():
    only = ours()
    only.remark("models resident")
    only.remark("models resident")
    (result,) = results_of(CASE, [only], [{only: {"seconds": 1.0}}], floors={}, notes="All.")
    assert result.notes == "All.; models resident"


def result():
    return BenchmarkResult(
        case="video_fast", system=OURS, fidelity="exact", metric="seconds", value=1.0, unit="s", n=1
    )


def test_each_case_is_added_to_the_record(tmp_path):
    path = tmp_path / "some" / "record.json"
    for _ in range(2):
        check_record(path)
        append(path, [result()])
    assert len(read_record(path).results) == 2
    append(path, [result()], is_fresh=True)
    assert len(read_record(path).results) == 1


def test_a_record_of_something_else_is_refused_before_anything_runs(tmp_path):
    path = tmp_path / "record.json"
    write_record(path, new_record("queue", [result()], now=datetime(2026, 1, 1, tzinfo=UTC)))
    with pytest.raises(InvalidRequest, match="another"):
        check_record(path)


def test_a_record_of_another_machine_is_refused(tmp_path):
    path = tmp_path / "record.json"
    append(path, [result()])
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["environment"]["cpu_cores"] = 4096
    path.write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="another"):
        check_record(path)


# ------------------------------------------------------------------------------------ pocket models

SMALL = {"num_inference_steps": 2, "num_frames": 5, "width": 64, "height": 64, "num_images": 2}
CEILINGS = Ceilings(
    rates={
        **{(kind, Precision.FP32): 1e10 for kind in (Kind.MATMUL, Kind.ATTENTION)},
        (Kind.CONVOLUTION, Precision.FP32): 1e10,
        (Kind.MEMORY, Precision.BYTES): 1e9,
    }
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    settings = Settings(profile="pocket", device="cpu")
    made = Bench(
        settings=settings,
        catalogue=catalogue_of(settings),
        folder=tmp_path_factory.mktemp("bench"),
        options=Options(
            repeats=1,
            fidelities=(Fidelity.EXACT, Fidelity.HIGH),
            has_best=True,  # the same as documented on a CPU, and the same code as on a GPU
            values=SMALL,
            ceilings=CEILINGS,
        ),
    )
    yield made
    made.close()


def metrics(bench, name):
    """Run a case; return its metrics by system and fidelity."""
    outcome = bench.run(find_case(name))
    assert outcome.failures == []
    found = {}
    for each in outcome.results:
        assert each.case == name
        assert "Smaller than the case" in each.notes
        found.setdefault((each.system, each.fidelity), {})[each.metric] = each.value
    return found


RATIOS = {"ratio_to_diffusers", "ratio_to_diffusers_best"}
TIMED = {"seconds", "ratio_to_floor"}
PEERS = {(LIBRARY, "library"): TIMED, (LIBRARY_BEST, "library"): TIMED}
BOTH = {(OURS, "exact"): TIMED | RATIOS, (OURS, "high"): TIMED | RATIOS}


def keys(found):
    return {system: set(values) for system, values in found.items()}


def compared(found):
    """Return the metrics that are not phases; those are ours alone, and say where time went."""
    for (system, _), values in found.items():
        phases = {name for name in values if name.startswith("phase.")}
        assert phases >= {"phase.denoise", "phase.decode"} if system == OURS else not phases
    return {
        system: {name for name in names if not name.startswith("phase.")}
        for system, names in keys(found).items()
    }


def test_load_is_measured_against_the_disk(bench):
    found = metrics(bench, "load")
    assert keys(found) == {(OURS, "exact"): {"seconds", "share_of_bandwidth"}}


def test_the_next_job_goes_through_the_store(bench):
    found = metrics(bench, "next_job")
    assert keys(found) == {(OURS, "exact"): {"seconds"}}
    assert (bench.settings.data_dir / "ourvidz.db").is_file()  # not the operator's own


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_forward_and_a_decode_are_measured_alone(bench):
    assert keys(metrics(bench, "wan_forward")) == {**BOTH, **PEERS}
    assert keys(metrics(bench, "vae_decode")) == {(OURS, "exact"): TIMED | RATIOS, **PEERS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["video_fast", "distilled_4_step"])
def test_a_video_is_the_librarys_video(bench, name):
    assert compared(metrics(bench, name)) == {**BOTH, **PEERS}
    mine, theirs = (
        frames_of(exact_file(bench, "ours-*.mp4")),
        frames_of(bench.folder / "library.mp4"),
    )
    assert mine.shape == theirs.shape == (5, 64, 64, 3)
    assert psnr_db(mine, theirs) > 35
    assert psnr_db(mine, frames_of(bench.folder / "library-best.mp4")) > 35


@pytest.mark.slow
def test_images_are_the_librarys_images(bench):
    assert compared(metrics(bench, "sdxl_image_fast")) == {**BOTH, **PEERS}
    mine = np.asarray(Image.open(exact_file(bench, "ours-*-2.png")), dtype=int)
    for stem in ("library", "library-best"):
        theirs = np.asarray(Image.open(bench.folder / f"{stem}-2.png"), dtype=int)
        assert np.abs(mine - theirs).max() <= 2
    assert mine.std() > 5  # a picture, not a constant


@pytest.mark.slow
def test_the_enhancers_tokens_are_counted_alike(bench):
    found = metrics(bench, "qwen_256")
    with_tokens = {system: values | {"tokens_per_s"} for system, values in PEERS.items()}
    with_tokens |= {system: values | {"tokens_per_s"} for system, values in BOTH.items()}
    assert keys(found) == with_tokens


@pytest.mark.slow
def test_the_librarys_tokens_are_ours(bench):
    from ourvidz.models.qwen.generate import generate

    case = find_case("qwen_256")
    ids = peers._input_ids(bench, case)
    pipeline = bench.library_qwen()
    ours = [
        event.token_id
        for event in generate(
            model=pipeline.model, input_ids=ids, max_new_tokens=12, eos_token_ids=()
        )
    ]
    assert pipeline.tokens(ids, 12) == pipeline.tokens(ids, 12, is_best=True) == ours


@pytest.mark.slow
def test_memory_of_all_families_without_a_second_load(bench):
    outcome = bench.run(find_case("peak_memory"))
    (only,) = outcome.results
    assert (only.metric, only.unit) == ("gib", "GiB")
    assert only.value > 0.1
    assert "second round: all resident" in only.notes


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_first_job_is_a_process_of_its_own(bench):
    outcome = bench.run(find_case("first_job"))
    found = {result.metric: result for result in outcome.results}
    whole = found["seconds"]
    assert whole.value > 0.5  # imports alone take longer
    assert "models warm" in whole.notes
    assert {"first_step_s", "phase.startup.process", "phase.startup.imports"} <= set(found)
    phases = [result.value for name, result in found.items() if name.startswith("phase.")]
    # Medians of parts add up to the whole's only roughly, of one run exactly.
    assert sum(phases) == pytest.approx(whole.value, rel=0.2)


@pytest.mark.slow
def test_a_reload_from_disk_fails_the_memory_case(bench, monkeypatch):
    from ourvidz.core.errors import OurVidzError
    from ourvidz.core.phase import LoadState

    monkeypatch.setattr(peers, "loaded_from", lambda spans: [LoadState.WARM, LoadState.COLD])
    with pytest.raises(OurVidzError, match="from disk again"):
        bench.run(find_case("peak_memory"))


def exact_file(bench, pattern):
    """Return what ours wrote at ``exact`` in the last round: ``high`` came after it."""
    files = sorted(bench.folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
    return files[-2]


def frames_of(path):
    import av

    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def psnr_db(left, right):
    error = np.mean((left.astype(float) - right.astype(float)) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))
