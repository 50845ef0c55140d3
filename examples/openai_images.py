"""Images through the official OpenAI client, unmodified.

    pip install openai
    python examples/openai_images.py "a green square on a white background" --n 4

OPENAI_BASE_URL and OPENAI_API_KEY name another server or a key.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import base64
import os
import sys
from pathlib import Path

import openai


def main() -> int:
    """Make images and save them."""
    parser = argparse.ArgumentParser(description="Make images through the OpenAI client.")
    parser.add_argument("prompt")
    parser.add_argument("--n", type=int, default=1, help="1 to 16")
    parser.add_argument("--quality", default="auto", choices=["auto", "low", "high"])
    parser.add_argument("--out", default="image", help="name without number and .png")
    args = parser.parse_args()

    client = openai.OpenAI(
        base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"),
        api_key=os.environ.get("OPENAI_API_KEY", "not-needed-on-loopback"),
    )
    try:
        answer = client.images.generate(prompt=args.prompt, n=args.n, quality=args.quality)
    except openai.APIStatusError as error:
        print(f"refused ({error.status_code}): {error.message}", file=sys.stderr)
        return 1
    for number, image in enumerate(answer.data or [], start=1):
        path = Path(f"{args.out}-{number}.png")
        path.write_bytes(base64.b64decode(image.b64_json or ""))
        print(f"{path}: {answer.size}")
        if image.revised_prompt:
            print(f"  enhanced: {image.revised_prompt}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
