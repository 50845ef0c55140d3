"""A job as a Chrome trace: of the schema, with every span in its place."""

import json

import jsonschema
import pytest

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.trace import chrome_trace

# Of the events that are written here, as the format's document describes them.
SCHEMA = {
    "type": "object",
    "required": ["traceEvents"],
    "properties": {
        "displayTimeUnit": {"enum": ["ms", "ns"]},
        "otherData": {"type": "object"},
        "traceEvents": {
            "type": "array",
            "minItems": 1,
            "items": {
                "oneOf": [
                    {
                        "properties": {
                            "ph": {"const": "X"},
                            "name": {"type": "string", "minLength": 1},
                            "cat": {"type": "string"},
                            "ts": {"type": "number", "minimum": 0},
                            "dur": {"type": "number", "minimum": 0},
                            "pid": {"type": "integer"},
                            "tid": {"type": "integer"},
                            "args": {"type": "object"},
                        },
                        "required": ["ph", "name", "cat", "ts", "dur", "pid", "tid", "args"],
                        "additionalProperties": False,
                    },
                    {
                        "properties": {
                            "ph": {"const": "M"},
                            "name": {"enum": ["process_name", "thread_name"]},
                            "pid": {"type": "integer"},
                            "tid": {"type": "integer"},
                            "args": {"required": ["name"]},
                        },
                        "required": ["ph", "name", "pid", "tid", "args"],
                        "additionalProperties": False,
                    },
                ]
            },
        },
    },
}


def span(phase, start_s, end_s, *, background=False, **facts):
    told = {"phase": phase, "start_s": start_s, "end_s": end_s}
    if background:
        told["is_background"] = True
    return told | ({"facts": facts} if facts else {})


SPANS = [
    span("queue_wait", 0.0, 1.0),
    span("load.transformer", 1.0, 3.0, background=True),
    span("load.vae", 1.5, 3.5, background=True),
    span("load.text_encoder", 1.2, 1.4, background=True),
    span("denoise", 3.5, 6.0, network_calls=50),
    span("decode", 6.0, 7.0),
    span("save", 6.5, 7.5),
    span("probe", 6.6, 6.9),
]


def made(spans=SPANS, **options):
    trace = chrome_trace(spans, name="job_1", about={"job_id": "job_1"}, **options)
    text = json.dumps(trace, allow_nan=False)
    jsonschema.validate(json.loads(text), SCHEMA)
    return json.loads(text)["traceEvents"]


def test_every_span_is_there_in_microseconds():
    events = [event for event in made() if event["ph"] == "X"]
    found = {event["name"]: (event["ts"], event["dur"]) for event in events}
    assert found == {
        each["phase"]: pytest.approx(
            (each["start_s"] * 1e6, (each["end_s"] - each["start_s"]) * 1e6)
        )
        for each in SPANS
    }
    denoise = next(event for event in events if event["name"] == "denoise")
    assert denoise["args"] == {"network_calls": 50}
    assert [event["ts"] for event in events] == sorted(event["ts"] for event in events)


def test_no_lane_holds_spans_that_overlap_without_nesting():
    events = made()
    lanes = {}
    for event in events:
        if event["ph"] == "X":
            lanes.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    for spans in lanes.values():
        for start, end in spans:
            for other_start, other_end in spans:
                apart = end <= other_start or other_end <= start
                nested = (start >= other_start and end <= other_end) or (
                    start <= other_start and end >= other_end
                )
                assert apart or nested
    names = {
        event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"
    }
    assert set(lanes) == set(names)
    of = {event["name"]: names[event["tid"]] for event in events if event["ph"] == "X"}
    assert of["load.vae"] == of["load.transformer"] == "background"
    assert of["denoise"] == "drives the job"


def test_steps_lie_end_to_end_from_where_denoising_begins():
    steps = [event for event in made(step_times_s=[0.5, 1.0, 0.5]) if event.get("cat") == "step"]
    assert [(each["name"], each["ts"], each["dur"]) for each in steps] == [
        ("step 1", 3.5e6, 0.5e6),
        ("step 2", 4.0e6, 1.0e6),
        ("step 3", 5.0e6, 0.5e6),
    ]
    assert not [each for each in made([span("save", 0.0, 1.0)], step_times_s=[1.0])
                if each.get("cat") == "step"]  # fmt: skip


@pytest.mark.parametrize(
    "spans",
    [[], [span("save", 2.0, 1.0)], [span("save", "a", 1.0)], [{"phase": "save"}], [None]],
)
def test_what_is_broken_is_refused(spans):
    with pytest.raises(InvalidRequest):
        chrome_trace(spans, name="job_1", about={})
