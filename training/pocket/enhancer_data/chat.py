"""One chat, and the marks around its turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from training.pocket.world import Scene

IM_START: Final = "<|im_start|>"
IM_END: Final = "<|im_end|>"
END_OF_TEXT: Final = "<|endoftext|>"
# Qwen 2.5's template without its tool calls, and with a neutral default system text.
CHAT_TEMPLATE: Final = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
DEFAULT_SYSTEM: Final = "You are a helpful assistant."


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One chat.

    Attributes:
        system: System text, or None for the template's own.
        user: What the user typed.
        answer: What the enhancer should answer.
        kind: A key of `KIND_SHARES`.
        scene: What a world prompt is about, else None.
        named: Attributes that a world prompt names.
        kept: What the answer to any other prompt keeps word for word.
    """

    system: str | None
    user: str
    answer: str
    kind: str
    scene: Scene | None = None
    named: frozenset[str] = frozenset()
    kept: str = ""
