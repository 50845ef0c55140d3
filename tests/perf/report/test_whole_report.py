"""A report says what the records say: every table, in every format, and nothing is typed."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

import pytest

from ourvidz.catalog.config import GoalEntry
from ourvidz.catalog.job_types import JOB_TYPES
from ourvidz.perf.history import shelf
from ourvidz.perf.matrix import Expected
from ourvidz.perf.planned import KeptGoal
from ourvidz.perf.report import collect, render_html, render_markdown
from ourvidz.perf.report.collect import breakdown_of, metrics_of
from ourvidz.perf.report.document import Table, cell, columns, row
from ourvidz.perf.report.labels import labelled, labels_of
from ourvidz.perf.report.markdown import _table as markdown_table
from tests.perf.simulated import BEGIN, WORKLOAD, environment, make_record, make_runs

NAMES = [job.name for job in JOB_TYPES]
NOW = datetime(2026, 2, 1, tzinfo=UTC)
GOAL = KeptGoal(
    id="settings:1",
    source="settings",
    entry=GoalEntry(job_type="video_fast", seconds=100.0, state="resident", by=date(2026, 12, 1)),
)
RUN = {
    "id": "run_1", "suite": "standard", "kind": "run", "created_at": "2026-01-20T10:00:00Z",
    "outcome": "regression", "num_planned": 7, "num_done": 7,
    "preflight": [{"name": "disk", "level": "warn", "text": "2 GiB free", "reason": "files"}],
    "hints": [{"rule": "load", "about": "", "text": "keep it resident", "evidence": {}}],
    "next": [{"text": "sweep flow_shift"}],
}  # fmt: skip


class Reader:
    def __init__(self, records):
        self._records = sorted(records, key=lambda each: (each.at, each.id))

    def records(self, *, job_type=None, since=None, limit=None):
        return self._records


def report_of(records, **given):
    defaults = {"now": NOW, "job_types": NAMES, "profile": "full", "histories": [shelf.shipped()]}
    return collect(Reader(records), **(defaults | given))


@pytest.fixture(scope="module")
def stepped():
    """A slower torch after fourteen runs, cold runs, a failure and a throttled run."""
    full = {"workload": {**WORKLOAD, "profile": "full"}}
    return [
        *make_runs(14, seed=1, **full),
        *make_runs(
            12, seed=2, first=400, slower={"denoise": 1.2},
            environment=environment(torch="2.12"), **full,
        ),
        *make_runs(4, seed=3, first=700, cold=True, **full),
        make_record(900, is_success=False, failure="out_of_memory", total_s=3.0, **full),
        make_record(901, flags=("throttled",), **full),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def report(stepped):
    def expect(record):
        return Expected(seconds=25.0, source="other runs")

    return report_of(stepped, goals=[GOAL], predictor=expect, runs=[RUN])


def test_every_table_of_the_old_document_is_there(report):
    text = render_markdown(report)
    for heading in (
        "What needs a look", "Comparison matrix", "Current baselines", "Breakdown by phase",
        "Evolution", "Framework metrics", "Goals and optimisations", "Protocol and checklist",
        "Claims of history-2025-07", "Environment and decisions",
    ):  # fmt: skip
        assert f"## {heading}" in text
    for name in NAMES:
        assert f"| `{name}` |" in text


def test_the_summary_is_counted(report):
    assert (report.progress.num_established, report.progress.num_job_types) == (1, 10)
    assert report.progress.goals_reached == 1
    assert report.metrics.success.successes == 31
    assert report.metrics.failures == {"out_of_memory": 1}
    text = render_markdown(report)
    assert "Baselines established | **1 of 10**" in text
    assert "Goals reached | **1 of 1**" in text
    assert "Slower now, undecided | **1**" in text


def test_shares_of_a_group_add_up_to_one(report):
    for each in report.breakdowns:
        assert sum(part.share for part in each.parts) == pytest.approx(1.0)
        assert "queue_wait" not in {part.phase for part in each.parts}
    resident = next(each for each in report.breakdowns if each.state == "resident")
    medians = {part.phase: part.median_s for part in resident.parts}
    assert medians["denoise"] > medians["decode"] > medians["save"]


def test_a_phase_that_some_runs_lack_counts_as_no_time(stepped):
    runs = [*stepped[:6], *[replace(each, phases_s={}) for each in stepped[6:7]]]
    (found,) = report_of(runs).baselines
    denoise = next(part for part in breakdown_of(found).parts if part.phase == "denoise")
    assert denoise.n == 6


def test_a_change_is_told_with_what_else_changed_there(report):
    (line,) = [line for line in render_markdown(report).splitlines() if "Slower: " in line]
    assert "torch 2.11 -> 2.12" in line
    assert "slower" in {row.trend for row in report.matrix.rows}


def test_a_series_is_told_from_its_first_level_to_the_last(report):
    text = render_markdown(report)
    begin = text.index("Levels: medians")
    (line,) = [each for each in text[begin:].splitlines()[:8] if "baseline, resident" in each]
    cells = [each.strip() for each in line.split("|")]
    assert cells[3] == "26"
    assert cells[8] == "+17 %"


def test_variance_is_real_over_expected(report):
    rows = [each for each in report.matrix.rows if each.state == "resident"]
    assert rows[0].variance == pytest.approx(rows[0].real_s / 25.0 - 1.0)


def test_quality_is_what_people_gave(stepped):
    found = report_of(stepped, stars={stepped[0].id: (4, 5), stepped[1].id: (3,), "other": (1,)})
    (row,) = [each for each in found.matrix.rows if each.state == "resident"]
    assert row.quality == pytest.approx(4.0)
    assert [each.job_type for each in found.coverage if each.has_quality] == ["video_fast"]


def test_time_in_which_jobs_overlap_is_busy_once():
    runs = make_runs(2)
    metrics = metrics_of([runs[0], replace(runs[1], at=runs[0].at)])
    assert metrics.busy_s == pytest.approx(runs[0].run_s, rel=1e-6)
    apart = metrics_of([runs[0], replace(runs[1], at=runs[0].at + timedelta(hours=1))])
    assert apart.busy_s == pytest.approx(2 * runs[0].run_s, rel=1e-6)
    assert apart.jobs_an_hour == pytest.approx(3600 / runs[0].run_s, rel=1e-6)


def test_since_leaves_records_out_but_not_of_goals(stepped):
    found = report_of(stepped, goals=[GOAL], since=BEGIN + timedelta(minutes=800))
    assert found.metrics.jobs == 2
    assert found.goals.own_goals[0].after.n >= 5


def test_the_checklist_is_computed(report):
    (video,) = [each for each in report.coverage if each.job_type == "video_fast"]
    assert video.is_established
    assert video.can_judge_phases
    assert video.states == ("cold", "resident")
    assert not any(each.is_measured for each in report.coverage if each.job_type != "video_fast")
    text = render_markdown(report)
    assert "| `disk` | warn | 2 GiB free | files |" in text
    assert "keep it resident" in text
    assert "- sweep flow_shift" in text


def test_an_empty_installation_has_a_report():
    found = report_of([])
    assert found.metrics.success is None
    assert "nothing ran" in render_markdown(found)
    assert "<!doctype html>" in render_html(found)
    json.dumps(found.to_dict(), allow_nan=False)


def test_json_is_json(report):
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert found["schema"] == 1
    assert len(found["matrix"]["rows"]) >= 10
    assert found["goals"]["own_goals"][0]["status"] == "reached"


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.ids, self.open = set(), [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        found = dict(attrs)
        self.links += [found[name] for name in ("src", "href") if name in found]
        self.ids |= {found["id"]} if "id" in found else set()
        if tag not in {"meta", "wbr"}:  # those that never end
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_loads_nothing_and_runs_nothing(report):
    text = render_html(report)
    page = Page()
    page.feed(text)
    assert page.open == []
    assert "script" not in page.tags
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-color-scheme:dark" in text
    assert {link.removeprefix("#") for link in page.links} <= page.ids


def test_charts_are_well_formed_and_within_their_picture(report):
    pictures = re.findall(r"<svg.*?</svg>", render_html(report), re.S)
    assert len(pictures) >= 4
    for picture in pictures:
        root = ET.fromstring(picture)
        width, height = map(float, root.get("viewBox").split()[2:])
        for name, most in (("x", width), ("cx", width), ("x2", width), ("cy", height)):
            for element in root.iter():
                if element.get(name) is not None:
                    assert -1 <= float(element.get(name)) <= most + 1


def test_names_from_outside_can_not_write_markup():
    evil = '<script>alert("x")</script>|`'
    runs = make_runs(5, seed=1, job_type=evil, state="resident<b>")
    found = report_of(runs, job_types=[evil])
    page = render_html(found)
    assert "<script" not in page
    assert "resident<b>" not in page
    for line in render_markdown(found).splitlines():
        if "alert" in line and line.startswith("|"):
            assert line.startswith('| `<script>alert("x")</script>\\|\'` |')


def test_cells_stay_cells():
    table = Table(columns=columns("a", "b"), rows=(row("x|y", cell("two\nlines", note="n")),))
    head, rule, line = markdown_table(table).splitlines()
    assert line == "| x\\|y | two lines (n) |"
    assert head.count("|") == rule.count("|") == 3


def test_namesakes_are_told_apart_by_what_differs():
    few = make_record(0, workload={**WORKLOAD, "num_inference_steps": 18})
    many, alone = make_record(1), make_record(2, job_type="video_high")
    found = labels_of(
        labelled(str(index), preset="baseline", record=each)
        for index, each in enumerate((few, many, alone))
    )
    assert found == {"0": "steps 18", "1": "steps 25", "2": ""}
