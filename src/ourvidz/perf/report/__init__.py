"""Reports: everything that is known of an installation's speed, as Markdown, HTML and JSON."""

from __future__ import annotations

from ourvidz.perf.report.collect import Report, collect
from ourvidz.perf.report.digest import Digest, digest_of
from ourvidz.perf.report.digest_sections import digest_document
from ourvidz.perf.report.document import Document
from ourvidz.perf.report.html import html_of
from ourvidz.perf.report.markdown import markdown_of
from ourvidz.perf.report.sections import document_of

__all__ = ["Digest", "Report", "collect", "digest_of", "render_html", "render_markdown"]


def render_markdown(report: Report | Digest) -> str:
    """Return a report or digest as Markdown."""
    return markdown_of(_document(report))


def render_html(report: Report | Digest) -> str:
    """Return a report or digest as one HTML file that loads nothing and needs no script."""
    return html_of(_document(report))


def _document(report: Report | Digest) -> Document:
    return digest_document(report) if isinstance(report, Digest) else document_of(report)
