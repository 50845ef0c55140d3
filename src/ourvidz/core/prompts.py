"""Prompts as models read them: the text before it becomes tokens."""

from __future__ import annotations

import html

import regex  # as the library: its white space differs from re's

from ourvidz.core.errors import InvalidRequest

try:
    import ftfy
except ImportError:  # optional in the library too, which then cleans differently
    ftfy = None


def clean_prompt(prompt: str) -> str:
    """Return the prompt as WanPipeline cleans it.

    Mended by ftfy where that is installed, HTML entities resolved twice, runs of white space made
    one space (diffusers 0.42.1, ``pipelines/wan/pipeline_wan.py``, ``prompt_clean``).
    """
    if ftfy is not None:
        prompt = ftfy.fix_text(prompt)
    prompt = html.unescape(html.unescape(prompt)).strip()
    return regex.sub(r"\s+", " ", prompt).strip()


def check_token_count(num_tokens: int, *, limit: int, model_id: str, param: str) -> None:
    """Refuse a text that the model would cut.

    Raises:
        InvalidRequest: more tokens than the model reads.
    """
    if num_tokens > limit:
        raise InvalidRequest(
            f"The {param} is {num_tokens} tokens long; {model_id} reads {limit}.",
            param=param,
            hint="Shorten it: whatever comes after the limit would have no effect.",
        )
