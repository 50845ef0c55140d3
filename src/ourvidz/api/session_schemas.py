"""What a browser asks and learns about its key."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from ourvidz.api.schemas import Answer, Strict


class SessionRequest(Strict):
    """A key to be kept in a cookie."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"key": "ov_live_..."}]})

    key: str = Field(min_length=1, max_length=200, description="The whole secret.", repr=False)


class SessionAnswer(Answer):
    """Who asks, and what he may."""

    is_authenticated: bool = Field(description="Requests like this one are answered.")
    needs_key: bool = Field(description="Without a key they would not be.")
    tenant: str | None = Field(description="Whose jobs are seen; null until a key is handed in.")
    scopes: list[str] = Field(description="What may be done; admin is everything.")
    key_name: str | None = Field(description="Of the key; null where none is used.")
