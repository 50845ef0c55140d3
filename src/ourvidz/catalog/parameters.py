"""Every parameter once: type, bounds, unit and text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ourvidz.core.errors import InvalidRequest, UnknownName
from ourvidz.core.request import Fidelity

Kind = Literal["str", "int", "float", "choice"]
Value = str | int | float

MAX_SEED = 2**32 - 1  # item seeds wrap here, so a seed is exact in JSON and in JavaScript
FRAME_STRIDE = 4  # Wan's VAE packs four frames into one latent frame, after the first
SIZE_MULTIPLE = 16  # Wan: VAE factor 8 times patch 2; SDXL's UNet halves its latents twice


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One value that a request may set.

    Bounds are inclusive. ``applies_to`` names the families that read it; empty means all.
    """

    name: str
    kind: Kind
    text: str
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int | None = None
    choices: tuple[str, ...] = ()
    applies_to: tuple[str, ...] = ()
    short_flag: str | None = None

    def check(self, value: Value) -> Value:
        """Return ``value`` in the parameter's type.

        Raises:
            InvalidRequest: wrong type, out of bounds, or not a listed choice.
        """
        if self.kind == "choice":
            return self._check_choice(value)
        if self.kind == "str":
            if not isinstance(value, str):
                raise self._refuse(value, "is not a text")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refuse(value, "is not a number")
        if not math.isfinite(value):
            raise self._refuse(value, "is not a finite number")
        if self.kind == "int":
            if value != int(value):
                raise self._refuse(value, "is not a whole number")
            value = int(value)
        return self._check_bounds(value)

    def _check_choice(self, value: Value) -> str:
        if value not in self.choices:
            raise UnknownName(
                f"{self.name} {value!r} is not one of {', '.join(self.choices)}.",
                param=self.name,
                hint=suggest(str(value), self.choices),
            )
        return str(value)

    def _check_bounds(self, value: int | float) -> int | float:
        low, high = self.minimum, self.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            raise self._refuse(value, "is out of range", hint=f"Choose {self.bounds_text}.")
        if self.multiple_of and int(value) % self.multiple_of:
            below = int(value) // self.multiple_of * self.multiple_of
            raise self._refuse(
                value,
                f"is not a multiple of {self.multiple_of}",
                hint=f"The nearest are {below} and {below + self.multiple_of}.",
            )
        return value

    @property
    def bounds_text(self) -> str:
        """The bounds in words, for help texts and hints."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.minimum is None or self.maximum is None:
            return ""
        numbers = (f"{n:.0f}" if n == int(n) else f"{n:g}" for n in (self.minimum, self.maximum))
        text = " to ".join(numbers) + (f" {self.unit}" if self.unit else "")
        return f"{text}, a multiple of {self.multiple_of}" if self.multiple_of else text

    def _refuse(self, value: Value, why: str, hint: str | None = None) -> InvalidRequest:
        return InvalidRequest(f"{self.name} {value!r} {why}.", param=self.name, hint=hint)


def suggest(name: str, known: tuple[str, ...]) -> str:
    """Return a hint with the nearest known name, or the list when none is near."""
    import difflib

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else "Known: " + ", ".join(known) + "."


PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        name="negative_prompt",
        kind="str",
        text="What to keep out of the picture. Each model ships a good default; "
        "an empty text switches it off.",
    ),
    Parameter(
        name="seed",
        kind="int",
        minimum=0,
        maximum=MAX_SEED,
        text="Where the noise starts. The same seed gives the same result on every device; "
        "image i of a batch uses seed + i. Drawn at random when left out.",
    ),
    Parameter(
        name="width",
        kind="int",
        unit="px",
        minimum=64,
        maximum=2048,
        multiple_of=SIZE_MULTIPLE,
        text="Width of the output.",
    ),
    Parameter(
        name="height",
        kind="int",
        unit="px",
        minimum=64,
        maximum=2048,
        multiple_of=SIZE_MULTIPLE,
        text="Height of the output.",
    ),
    Parameter(
        name="num_frames",
        kind="int",
        unit="frames",
        minimum=5,
        maximum=241,
        applies_to=("wan",),
        text="Frames of a video: 4n+1, such as 33, 49, 65 or 81.",
    ),
    Parameter(
        name="fps",
        kind="int",
        unit="frames/s",
        minimum=1,
        maximum=60,
        applies_to=("wan",),
        text="Playback speed written into the file. Wan was trained at 16.",
    ),
    Parameter(
        name="num_inference_steps",
        kind="int",
        unit="steps",
        minimum=1,
        maximum=100,
        text="Denoise steps. Time grows with it, quality too, ever more slowly.",
    ),
    Parameter(
        name="guidance_scale",
        kind="float",
        minimum=0.0,
        maximum=20.0,
        text="How strongly the prompt pulls. Above 1 each step runs the network twice.",
    ),
    Parameter(
        name="scheduler",
        kind="choice",
        choices=("unipc", "euler", "dpm++"),
        text="The solver of the denoise steps. It costs no time; "
        "some need fewer steps for equal quality.",
    ),
    Parameter(
        name="flow_shift",
        kind="float",
        minimum=0.1,
        maximum=20.0,
        applies_to=("wan",),
        text="Moves steps towards the noisy end. Costs no time; higher suits larger videos.",
    ),
    Parameter(
        name="num_images",
        kind="int",
        unit="images",
        minimum=1,
        maximum=16,
        applies_to=("sdxl",),
        text="Images in one batch, each with its own seed.",
    ),
    Parameter(
        name="fidelity",
        kind="choice",
        choices=tuple(Fidelity),
        text="Which speed-ups are allowed: exact stays within rounding of the reference.",
    ),
)

BY_NAME: dict[str, Parameter] = {parameter.name: parameter for parameter in PARAMETERS}

MAX_PROMPT_CHARS = 4000  # far above what any text encoder here reads; tokens are counted later


def check_prompt(prompt: str, *, name: str = "prompt") -> str:
    """Return ``prompt`` without outer white space.

    Raises:
        InvalidRequest: empty, too long, or holding control characters.
    """
    stripped = prompt.strip()
    if not stripped:
        raise InvalidRequest(
            f"The {name} is empty.", param=name, hint='Try "a red circle moving left".'
        )
    if len(stripped) > MAX_PROMPT_CHARS:
        raise InvalidRequest(
            f"The {name} has {len(stripped)} characters; {MAX_PROMPT_CHARS} are the most.",
            param=name,
            hint="Say the same in fewer words; no text encoder here reads that many.",
        )
    if any(ord(char) < 32 and char not in "\n\t\r" for char in stripped):
        raise InvalidRequest(
            f"The {name} holds control characters.", param=name, hint="Send plain text."
        )
    return stripped


def check_num_frames(num_frames: int) -> int:
    """Return ``num_frames`` if it is 4n+1, Wan's only legal counts.

    Raises:
        InvalidRequest: any other count, with the two nearest legal ones.
    """
    BY_NAME["num_frames"].check(num_frames)
    if (num_frames - 1) % FRAME_STRIDE:
        below = (num_frames - 1) // FRAME_STRIDE * FRAME_STRIDE + 1
        raise InvalidRequest(
            f"num_frames {num_frames!r} is not legal: Wan makes 4n+1 frames.",
            param="num_frames",
            hint=f"The nearest are {below} and {below + FRAME_STRIDE}.",
        )
    return num_frames
