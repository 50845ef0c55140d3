"""Families of cases: one setting varied, all else as in the fast job type.

An item of `--cases` names a case or a family, with `.own` after it for the prompts that a person
wrote, and `=COUNT` for its number of prompts: `video_fast=500,video_fast.own,steps=100`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from training.pocket.judging import OWN
from training.pocket.sampling import PRECISIONS, Case

CaseT = TypeVar("CaseT")

STEPS: Final = (4, 6, 8, 10, 15, 20, 25, 35, 50)
SCHEDULERS: Final = ("unipc", "euler", "dpm")
SCHEDULER_STEPS: Final = (8, 15, 25)
SHIFTS: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0)
GUIDANCES: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 6.5, 7.5, 9.0, 12.0)
_OWN_COUNT: Final = 10_000  # all that there are

# Job types, presets and some settings worth a name. The catalogue scales the presets' sizes.
CASES: Final[dict[str, Case]] = {
    "video_fast": Case(),
    "video_high": Case(steps=50, guidance=7.5),
    "image_fast": Case(num_frames=1),
    "image_high": Case(num_frames=1, steps=50, guidance=7.5),
    "video_balanced": Case(num_frames=25, scheduler="euler", shift=3.0, steps=18),
    "video_aggressive": Case(
        num_frames=21, height=128, width=80, scheduler="euler", shift=2.5, steps=15, guidance=6.0
    ),
    "video_quality": Case(scheduler="dpm", shift=4.0, steps=20),
    "video_empty_negative": Case(negative_prompt=""),
    "image_empty_negative": Case(num_frames=1, negative_prompt=""),
}


@dataclass(frozen=True, kw_only=True)
class Item(Generic[CaseT]):
    """One case to run.

    Attributes:
        label: Its name in results and files.
        case: How to make.
        count: Prompts.
        own: Whether a person wrote them (else they are held out).
        family: The sweep that it belongs to, or empty.
        setting: What it sets within its family, in words.
    """

    label: str
    case: CaseT
    count: int
    own: bool = False
    family: str = ""
    setting: str = ""


def _families(base: Case, prefix: str) -> dict[str, dict[str, Case]]:
    """Families of the video model: setting in words to case."""
    return {
        f"{prefix}steps": {f"{n} steps": replace(base, steps=n) for n in STEPS},
        f"{prefix}scheduler": {
            f"{name} {n} steps": replace(base, scheduler=name, steps=n)
            for name in SCHEDULERS
            for n in SCHEDULER_STEPS
        },
        f"{prefix}shift": {f"shift {s:g}": replace(base, shift=s) for s in SHIFTS},
        f"{prefix}guidance": {f"guidance {g:g}": replace(base, guidance=g) for g in GUIDANCES},
        f"{prefix}precision": {name: replace(base, precision=name) for name in PRECISIONS},
    }


def _sizes(base: Case, wanted: Sequence[tuple[int, int, int]]) -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for frames, width, height in wanted:
        text = f"{width}x{height}" if frames == 1 else f"{frames} frames {width}x{height}"
        cases[text] = replace(base, num_frames=frames, width=width, height=height)
    return cases


# The catalogue permits any 4n+1 frames from 5 and any multiple of 16 px from 64: the native size,
# the presets', and both sides of them.
_CLIP_SIZES: Final = (
    *((frames, 96, 160) for frames in (17, 25, 33, 41, 49)),
    (21, 80, 128),
    (33, 80, 128),
    (33, 128, 208),
    (33, 160, 96),
)
_FRAME_SIZES: Final = ((1, 64, 112), (1, 80, 128), (1, 96, 160), (1, 128, 208), (1, 160, 96))

FAMILIES: Final[dict[str, dict[str, Case]]] = {
    **_families(CASES["video_fast"], ""),
    "size": _sizes(CASES["video_fast"], _CLIP_SIZES),
    **_families(CASES["image_fast"], "frames-"),
    "frames-size": _sizes(CASES["image_fast"], _FRAME_SIZES),
}


def _slug(setting: str) -> str:
    return setting.replace(" ", "_")


def _family_label(family: str, setting: str) -> str:
    word = family.rpartition("-")[2]
    return f"{family}_{_slug(setting).removeprefix(f'{word}_').removesuffix(f'_{word}')}"


def items_of(
    spec: str,
    *,
    cases: Mapping[str, CaseT],
    families: Mapping[str, Mapping[str, CaseT]],
    count: int,
    own: bool = False,
) -> list[Item[CaseT]]:
    """Reads `--cases`.

    Args:
        spec: Names separated by commas, each with `.own` and `=COUNT` if wanted.
        cases: Single cases by name.
        families: Cases by family and setting.
        count: Prompts of items that say nothing else.
        own: Whether all items take the prompts that a person wrote.

    Raises:
        ValueError: A name that neither is a case nor a family.
    """
    items: list[Item[CaseT]] = []
    for part in spec.split(","):
        full, _, number = part.strip().partition("=")
        name, of_person = full.removesuffix(OWN), own or full.endswith(OWN)
        wanted = int(number) if number else (_OWN_COUNT if of_person else count)
        end = OWN if of_person else ""
        if name in cases:
            items.append(Item(label=name + end, case=cases[name], count=wanted, own=of_person))
        elif name in families:
            items += [
                Item(
                    label=_family_label(name, setting) + end,
                    case=case,
                    count=wanted,
                    own=of_person,
                    family=name + end,
                    setting=setting,
                )
                for setting, case in families[name].items()
            ]
        else:
            raise ValueError(f"{name!r} is no case; known: {', '.join((*cases, *families))}")
    return items


def every_nth(items: Sequence[CaseT], only: str) -> list[CaseT]:
    """The share of items that "I/N" names: every N-th from I (0 to N - 1) on."""
    part, _, parts = only.partition("/")
    index, count = int(part), int(parts or "1")
    if not 0 <= index < count:
        raise ValueError(f"{only!r} is no share: I/N takes 0 <= I < N")
    return list(items[index::count])
