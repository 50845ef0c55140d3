"""A document as Markdown: tables as they are, charts left to their tables."""

from __future__ import annotations

from ourvidz.perf.report.document import Block, Cell, Document, Points, Section, Table, Text, Tile

_BAR_CELLS = 10


def markdown_of(document: Document) -> str:
    """Return the whole document."""
    parts = [
        f"# {document.title}",
        _text(document.subtitle),
        *([_tiles(document.tiles)] if document.tiles else []),
        *(part for section in document.sections for part in _section(section)),
        "---",
        _text(document.footer),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(section: Section) -> list[str]:
    blocks = [text for block in section.blocks if (text := _block(block))]
    return [f"## {_text(section.title)}", _text(section.lead), *blocks]


def _block(block: Block) -> str:
    match block:
        case Table():
            return _table(block)
        case Text():
            return _text(block.text)
        case Points():
            return "\n".join(f"- {_text(line.text)}" for line in block.lines)
        case _:
            return ""  # every chart stands beside a table of the same figures


def _table(table: Table) -> str:
    title = f"**{_text(table.title)}**\n\n" if table.title else ""
    if not table.rows:
        return f"{title}{_text(table.empty)}"
    heads = " | ".join(_cell_text(column.title) for column in table.columns)
    rules = "|".join("---:" if column.is_number else "---" for column in table.columns)
    lines = [
        " | ".join(
            _cell(each, is_code=column.is_code)
            for column, each in zip(table.columns, row, strict=True)
        )
        for row in table.rows
    ]
    body = "\n".join(f"| {line} |" for line in lines)
    return f"{title}| {heads} |\n|{rules}|\n{body}"


def _cell(cell: Cell, *, is_code: bool) -> str:
    text = _code(cell.text) if is_code and cell.text else _cell_text(cell.text)
    if cell.share is not None:
        filled = round(max(0.0, min(1.0, cell.share)) * _BAR_CELLS)
        text = f"{'█' * filled}{'░' * (_BAR_CELLS - filled)} {text}"
    return f"{text} ({_cell_text(cell.note)})" if cell.note else text


def _code(text: str) -> str:
    flat = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return f"`{flat}`"


def _tiles(tiles: tuple[Tile, ...]) -> str:
    rows = [
        f"| {_cell_text(each.label)} | **{_cell_text(each.value)}** | {_cell_text(each.detail)} |"
        for each in tiles
    ]
    return "\n".join(["| | | |", "|---|---:|---|", *rows])


def _cell_text(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _text(text: str) -> str:
    """Return text that no reader takes for markup or a second line."""
    flat = " ".join(text.split())
    for mark in ("\\", "<", "*", "[", "`"):
        flat = flat.replace(mark, f"\\{mark}")
    return flat.replace("_", "\\_") if "__" in flat else flat
