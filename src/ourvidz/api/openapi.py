"""The OpenAPI document: ``python -m ourvidz.api.openapi docs/reference/openapi.json``.

It says what the service does: one error body, a key as bearer token, every status of every route.
With ``--check`` it only tells whether the file is what the code says.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

DESCRIPTION = """\
Type a prompt, get a video or images from your own GPUs, with every second timed.

**Jobs.** A 2xx answer to a submit means durably stored. Every accepted job reaches exactly one of
`succeeded`, `failed` and `cancelled`. Work may run more than once; exactly one attempt's output is
published. Send an `Idempotency-Key` and repeat a submit as often as you like.

**Errors.** One body everywhere: `{"error": {"code", "message", "param", "hint"}}`; under `/v1` it
has the shape of OpenAI's API. 429 and 503 carry `Retry-After`.

**Keys.** `Authorization: Bearer ov_live_...`. While no key exists, clients on the server's own
machine need none. A browser hands its key in once, with `POST /api/v1/session`, and sends a cookie
from then on, which scripts can't read.

**Files.** Addresses in answers are signed and expire; read the asset again for fresh ones.
"""

TAGS = (
    ("jobs", "Submit, read, follow, cancel, retry and move jobs."),
    ("enhancement", "Enrich prompts without generating."),
    ("queue", "The queue as a whole: counts, pause and resume."),
    ("live", "Everything that changes, as it happens."),
    ("assets", "Delivered files."),
    ("files", "Bytes of files that the server keeps itself, through signed addresses."),
    ("catalogue", "Job types, presets and parameters."),
    ("models", "Models and where they are loaded."),
    ("workers", "Worker processes."),
    ("keys", "API keys."),
    ("session", "A key in a browser, kept in a cookie."),
    ("performance", "Baselines, histories with their changes, decisions, claims and goals."),
    ("benchmarks", "Protocol runs: start, follow, cancel, read."),
    ("ratings", "What people say of outputs: stars, defects, blind votes."),
    ("system", "Signs of life, metrics and versions."),
    ("openai", "What clients of OpenAI's API speak: videos, images, models."),
)
_SCHEME = "key"
_INVALID = "HTTPValidationError"  # the framework's own body, which no client ever gets


def describe(app: FastAPI) -> None:
    """Give ``app`` its OpenAPI document, made once when it is first asked for."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    from ourvidz.api.middleware import is_public

    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS],
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        _SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "description": "A key made by `ourvidz keys create`.",
        }
    }
    for name in (_INVALID, "ValidationError"):
        components.get("schemas", {}).pop(name, None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _drop_framework_errors(operation["responses"])
            if not is_public(path):
                operation["security"] = [{_SCHEME: []}, {}]
    return document


def _drop_framework_errors(responses: dict[str, Any]) -> None:
    if _INVALID in json.dumps(responses.get("422", {})):
        del responses["422"]


def document() -> Mapping[str, Any]:
    """Return the document of the service with default settings."""
    from ourvidz.api.app import create_app
    from ourvidz.api.deps import make_deps
    from ourvidz.catalog.config import Settings, catalogue_of
    from ourvidz.jobs.open import open_store
    from ourvidz.policy.build import build_policy
    from ourvidz.storage.open import open_storage

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        store = open_store(settings)
        try:
            deps = make_deps(
                settings=settings,
                catalogue=catalogue_of(settings),
                store=store,
                storage=open_storage(settings),
                policy=build_policy(settings.policy),
            )
            return create_app(deps).openapi()
        finally:
            store.close()


def main() -> int:
    """Write the document, or with ``--check`` say that it is stale (exit code 1)."""
    parser = argparse.ArgumentParser(description="Write the OpenAPI document.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    file: Path = arguments.file
    text = json.dumps(document(), indent=1, ensure_ascii=False) + "\n"
    is_fresh = file.is_file() and file.read_text(encoding="utf-8") == text
    if arguments.check:
        if not is_fresh:
            sys.stderr.write(f"Stale: {file.name}. Run `make docs`.\n")
        return 0 if is_fresh else 1
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
