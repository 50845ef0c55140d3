import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ourvidz.bridge.mapping import draft_of
from ourvidz.bridge.payload import PoisonPayloadError, parse_payload
from ourvidz.catalog.config import Settings, catalogue_of
from ourvidz.catalog.resolve import resolve
from ourvidz.core.errors import InvalidRequest
from tests.bridge.payloads import NAMES, load, raw

SETTINGS = Settings(bridge={"site_url": "https://site.example"})
CATALOGUE = catalogue_of(SETTINGS)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not JSON"),
        (b"{not json", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b'{"id": "x", "seed": NaN}', "not JSON"),
        (b'{"id": "x", "seed": 1e999}', "not JSON"),
        (b'{"id": "x", "a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b'"job"', "not a JSON object"),
        (b'{"type": "video_fast"}', "no id"),
        (b'{"id": null}', "no id"),
        (b'{"id": "  "}', "no id"),
        (b'{"id": true}', "no id"),
        (b'{"id": {"a": 1}}', "no id"),
        (json.dumps({"id": "x" * 201}).encode(), "more than 200"),
        (json.dumps({"id": "x", "pad": "y" * (1 << 20)}).encode(), "more than 1048576 bytes"),
    ],
)
def test_what_nobody_can_be_told_about_is_poison(content, why):
    with pytest.raises(PoisonPayloadError, match=why):
        parse_payload(content)


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("wan_july", "july"),
        ("sdxl_july", "july"),
        ("sdxl_august", "august"),
        ("wan_august", "august"),
        ("mixed", "july"),
    ],
)
def test_the_generation_is_recognised(name, style):
    assert parse_payload(raw(load(name))).style == style


def test_a_number_as_id_goes_back_as_a_number():
    payload = parse_payload(raw(load("wan_august", id=77)))
    assert (payload.id, payload.raw_id) == ("77", 77)


def test_text_that_no_database_holds_is_replaced_everywhere():
    payload = parse_payload(rb'{"id": "x", "n\u0000": ["a\ud800b", {"deep": "\u0000"}]}')
    assert payload.fields["n\ufffd"] == ["a\ufffdb", {"deep": "\ufffd"}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text() | st.sampled_from(["480*832", "83", "-1", "unipc", "video_fast", "0x10", "1e5"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
FIELDS = st.sampled_from(
    [
        *("size", "sample_steps", "sample_guide_scale", "sample_solver", "sample_shift", "fps"),
        *("frame_num", "seed", "num_images", "steps", "guidance_scale", "resolution", "width"),
        *("height", "frames", "negative_prompt", "enhance_prompt", "image", "task", "first_frame"),
    ]
)
TOPS = st.sampled_from(
    ["type", "prompt", "user_id", "video_id", "image_id", "negative_prompt", "config", "metadata"]
)


@given(
    name=st.sampled_from(NAMES),
    config=st.dictionaries(FIELDS, JSON, max_size=5),
    top=st.dictionaries(TOPS, JSON, max_size=3),
)
def test_any_payload_is_a_request_or_is_refused(name, config, top):
    payload = parse_payload(raw({**load(name, config=config), **top}))
    with contextlib.suppress(InvalidRequest):
        draft = draft_of(payload, settings=SETTINGS, catalogue=CATALOGUE)
        request = resolve(
            catalogue=CATALOGUE,
            settings=SETTINGS,
            prompt=draft.prompt,
            seed=1,
            job_type=draft.job_type,
            values=draft.values,
        )
        assert request.num_frames % 4 == 1
