"""A video through the official OpenAI client, unmodified.

    pip install openai
    python examples/openai_video.py "a red circle moving left on a blue background"

OPENAI_BASE_URL and OPENAI_API_KEY name another server or a key.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import os
import sys
import warnings

import openai

# The client calls its own video methods deprecated, since OpenAI's service has ended.
warnings.filterwarnings("ignore", category=DeprecationWarning, module=__name__)


def main() -> int:
    """Make one video and save it."""
    parser = argparse.ArgumentParser(description="Make one video through the OpenAI client.")
    parser.add_argument("prompt")
    parser.add_argument("--model", default="video_fast", help="see client.models.list()")
    parser.add_argument("--seconds", default=None, help="length; left out, the model's own")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--out", default="video.mp4")
    args = parser.parse_args()

    client = openai.OpenAI(
        base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"),
        api_key=os.environ.get("OPENAI_API_KEY", "not-needed-on-loopback"),
    )
    extra = {} if args.seed is None else {"seed": args.seed}
    try:
        video = client.videos.create_and_poll(
            model=args.model,
            prompt=args.prompt,
            seconds=args.seconds or openai.omit,
            extra_body=extra,
        )
    except openai.APIStatusError as error:
        print(f"refused ({error.status_code}): {error.message}", file=sys.stderr)
        return 1
    if video.status != "completed":
        why = video.error.message if video.error else "no reason given"
        print(f"{video.id} {video.status}: {why}", file=sys.stderr)
        return 1
    client.videos.download_content(video.id).write_to_file(args.out)
    print(f"{args.out}: {video.size}, {video.seconds} s, made by {video.model} ({video.id})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
