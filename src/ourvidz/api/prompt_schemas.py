"""What goes over the wire about prompts and about the settings in files, as types."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from ourvidz.api.schemas import Answer, Strict
from ourvidz.catalog.parameters import MAX_PROMPT_CHARS
from ourvidz.catalog.resolve import DEFAULT_JOB_TYPE


class TokensRequest(Strict):
    """Prompts whose tokens are to be counted."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prompt": "a red circle", "job_type": "video_fast"}]}
    )

    prompt: str = Field(max_length=MAX_PROMPT_CHARS)
    negative_prompt: str | None = Field(default=None, max_length=MAX_PROMPT_CHARS)
    job_type: str = Field(default=DEFAULT_JOB_TYPE, max_length=100, description="Which model.")


class TokenCount(Answer):
    """What one text takes in one encoder."""

    text: Literal["prompt", "negative_prompt"]
    encoder: Literal["text_encoder", "text_encoder_2", "enhancer"] = Field(
        description="enhancer: the prompt of an enhanced job type is read by it, and what it makes "
        "of the prompt is cut to the model's own limit at a sentence's end."
    )
    model: str = Field(description="Whose encoder.")
    num_tokens: int = Field(description="With those that the encoder puts around a text.")
    limit: int | None = Field(description="Most that a job may have; null: the encoder has none.")
    is_over: bool = Field(description="A job with this text would be refused.")


class TokensAnswer(Answer):
    """What texts take in each encoder that reads them."""

    counts: list[TokenCount]
    unavailable: str | None = Field(
        description="Why counts are missing: the model's files are not where the server runs, say."
    )


class SettingsAnswer(Answer):
    """The settings that a file was made with."""

    request: dict[str, Any] = Field(description="To be sent as a job; see `submit_job`.")
    unknown: dict[str, Any] = Field(description="What the file says besides.")
    notes: list[str] = Field(description="What can't be repeated here as it was, and why.")
