import json

import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.history import parse_history, read_history
from ourvidz.perf.history.schema import MAX_BYTES

MINIMAL = {
    "about": "typed by hand",
    "environment": {"gpu": "a card"},
    "records": [
        {
            "job_type": "video_fast",
            "label": "a",
            "date": "2025-07-06",
            "state": "warm",
            "total_s": 10,
            "ok": True,
        }
    ],
}


def changed(path, value):
    """Return the minimal file with one value changed; a dict path through lists and objects."""
    content = json.loads(json.dumps(MINIMAL))
    place = content
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return json.dumps(content)


def test_a_minimal_file_is_read():
    history = parse_history(json.dumps(MINIMAL), name="h.json")
    assert history.records[0].total_s == 10
    assert history.claims == ()


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (["recrds"], [], "recrds"),
        (["records", 0, "total"], 10, "records[0].total"),
        (["records", 0, "total_s"], -1, "records[0].total_s"),
        (["records", 0, "total_s"], "10", "records[0].total_s"),
        (["records", 0, "total_s"], True, "records[0].total_s"),
        (["records", 0, "ok"], 1, "records[0].ok"),
        (["records", 0, "ok"], "yes", "records[0].ok"),
        (["records", 0, "date"], "6 July", "records[0].date"),
        (["records", 0, "date"], 20250706, "records[0].date"),
        (["records", 0, "state"], "hot", "records[0].state"),
        (["records", 0, "job_type"], "Video Fast", "records[0].job_type"),
        (["records", 0, "label"], "", "records[0].label"),
        (["records", 0, "label"], "a\u001b[2J", "records[0].label"),
        (["records", 0, "phases_s"], {"load": -0.1}, "records[0].phases_s.load"),
        (["records", 0, "phases_s"], [1, 2], "records[0].phases_s"),
        (["records", 0, "num_inference_steps"], 2.5, "records[0].num_inference_steps"),
        (["records", 0, "step_s"], 0, "records[0].step_s"),
        (["records", 0, "output"], {"size": "wide"}, "records[0].output.size"),
        (["records", 0, "prompt_chars"], [1], "records[0].prompt_chars[1]"),
        (["records"], [], "records"),
        (["environment"], {"gpu": ["a", "b"]}, "environment.gpu"),
        (["claims"], [{"id": "c", "stated": [True]}], "claims[0].stated"),
        (
            ["claims"],
            [{"id": "c", "stated": [1.0], "recipe": {"kind": "guess"}}],
            "claims[0].recipe",
        ),
        (["goals"], [{"by": "1 month"}], "goals[0].what"),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(path, value, place):
    with pytest.raises(InvalidRequest) as caught:
        parse_history(changed(path, value), name="h.json")
    assert caught.value.param is not None
    assert caught.value.param.startswith(place)
    assert "h.json" in caught.value.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"{", "line 1"),
        (b'{"about": "a", "about": "b"}', "twice"),
        (b'{"about": NaN}', "NaN"),
        (b"[" * 100_000, "deep"),
        (b"[]", "no history"),
        (changed(["records", 0, "total_s"], 1).replace(": 1,", ": 1e999,").encode(), "no history"),
    ],
)
def test_what_is_no_history_is_refused(content, words):
    with pytest.raises(InvalidRequest, match=words):
        parse_history(content, name="h.json")


def test_an_absent_field_is_named():
    content = json.loads(json.dumps(MINIMAL))
    del content["records"][0]["state"]
    with pytest.raises(InvalidRequest, match=r"'records\[0\].state' is absent"):
        parse_history(json.dumps(content), name="h.json")


def test_labels_are_unique():
    content = {**MINIMAL, "records": MINIMAL["records"] * 2}
    with pytest.raises(InvalidRequest, match="the label 'a' stands there twice"):
        parse_history(json.dumps(content), name="h.json")


def test_several_problems_are_counted():
    content = changed(["records", 0], {"job_type": "video_fast"})
    with pytest.raises(InvalidRequest, match=r"Problems in all: 5\."):
        parse_history(content, name="h.json")


def test_a_missing_or_huge_file_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match=r"absent\.json"):
        read_history(tmp_path / "absent.json")
    with pytest.raises(InvalidRequest, match="can't be read"):
        read_history(tmp_path)
    (tmp_path / "huge.json").write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(InvalidRequest, match="at most"):
        read_history(tmp_path / "huge.json")


def test_a_single_problem_is_one():
    with pytest.raises(InvalidRequest) as caught:
        parse_history(changed(["records", 0, "total_s"], -1), name="h.json")
    assert "Problems" not in caught.value.message
