"""A document as one HTML file: charts inline, light and dark, no script, nothing loaded."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from ourvidz.perf.report.charts import svg_of
from ourvidz.perf.report.document import (
    Block,
    Cell,
    Document,
    Points,
    Section,
    Table,
    Text,
    Tile,
    Tone,
)

_LONG = 34  # characters from which a column gets room to wrap
_VERY_LONG = 90

_STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b2330;--soft:#5d6878;--line:#e3e7ed;
--faint:#f1f3f7;--accent:#2f6bdc;--good:#1a7f4b;--bad:#c2332d;--warn:#9a6200;--goodbg:#e3f4ea;
--badbg:#fbe6e4;--warnbg:#fbf0d9;--dot:#2f6bdc;--mark:#101826;
--k0:#e0a03c;--k1:#9a73d9;--k2:#45b0a8;--k3:#3f74d8;--k4:#62ad5b;--k5:#a58b7d;--k6:#d2504b;
--k7:#9aa3b0;--in:#fff}
@media(prefers-color-scheme:dark){:root{--bg:#10141b;--card:#181e28;--ink:#e6eaf1;--soft:#98a3b5;
--line:#2a3342;--faint:#1f2733;--accent:#7fa8f5;--good:#62cf94;--bad:#f08580;--warn:#e3b15a;
--goodbg:#173425;--badbg:#3c1f1f;--warnbg:#392d15;--dot:#7fa8f5;--mark:#f4f7fc;
--k0:#c98a2c;--k1:#8a66c9;--k2:#379b93;--k3:#4a7fe0;--k4:#559a4f;--k5:#8d766a;--k6:#cf5752;
--k7:#78818f}}
*{box-sizing:border-box}
html{scroll-behavior:smooth}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,
"Segoe UI",Roboto,"Liberation Sans","DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums}
main,header,footer{max-width:1180px;margin:0 auto;padding:0 24px}
header{padding-top:40px}
h1{font-size:30px;line-height:1.2;margin:0 0 6px;letter-spacing:-.015em}
h2{font-size:20px;margin:0 0 4px;letter-spacing:-.01em}
h3{font-size:14px;margin:22px 0 8px;font-weight:650}
header p,.lead{color:var(--soft);margin:0}
.lead{max-width:74ch;margin-bottom:16px}
nav{display:flex;flex-wrap:wrap;gap:6px;margin:20px 0 0}
nav a{color:var(--soft);text-decoration:none;font-size:13px;padding:4px 11px;border:1px solid
var(--line);border-radius:99px;background:var(--card)}
nav a:hover{color:var(--accent);border-color:var(--accent)}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));gap:14px;
margin:24px 0}
.tile,section{background:var(--card);border:1px solid var(--line);border-radius:14px}
.tile{padding:16px 18px;display:flex;flex-direction:column}
.tile small{color:var(--soft);font-size:13px}
.tile b{font-size:26px;line-height:1.25;letter-spacing:-.02em;font-weight:650}
.tile .bar{margin-top:auto}
.tile .bar,td .bar{display:block;height:6px;border-radius:3px;background:var(--faint);
overflow:hidden}
.tile em{font-style:normal;color:var(--soft);font-size:13px;margin-bottom:10px}
.bar i{display:block;height:100%;background:var(--accent);border-radius:3px}
td .bar{width:84px;display:inline-block;vertical-align:middle;margin-right:9px}
section{padding:24px 26px;margin:0 0 18px;scroll-margin-top:12px}
.scroll{overflow-x:auto;margin:0 -8px;padding:0 8px}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th{text-align:left;font-weight:600;color:var(--soft);font-size:12px;line-height:1.3;
border-bottom:1px solid var(--line);padding:6px 13px 7px 0;vertical-align:bottom}
td{padding:7px 13px 7px 0;border-bottom:1px solid var(--faint);vertical-align:top;
white-space:nowrap}
tr:last-child td{border-bottom:0}
td:last-child,th:last-child{padding-right:0}
.n{text-align:right}
td.long{white-space:normal;min-width:150px}
td.vlong{white-space:normal;min-width:250px}
td small{display:block;color:var(--soft);font-size:12px}
code{font:12.5px ui-monospace,SFMono-Regular,Menlo,"Liberation Mono","DejaVu Sans Mono",monospace;
color:var(--ink)}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}.quiet{color:var(--soft)}
.pill{padding:1px 9px;border-radius:99px;font-size:12.5px;display:inline-block}
.pill.good{background:var(--goodbg)}.pill.bad{background:var(--badbg)}
.pill.warn{background:var(--warnbg)}.pill.quiet{background:var(--faint)}
ul{margin:0;padding:0;list-style:none}
li{padding:8px 14px;border-radius:9px;margin-bottom:6px;background:var(--faint)}
li.bad{background:var(--badbg);color:var(--ink);border-left:4px solid var(--bad)}
li.warn{background:var(--warnbg);color:var(--ink);border-left:4px solid var(--warn)}
li.good{background:var(--goodbg);color:var(--ink);border-left:4px solid var(--good)}
.none{color:var(--soft)}
svg{display:block;width:100%;height:auto;font-family:inherit}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:2px 0 10px;font-size:13px;
color:var(--soft)}
.key{display:inline-flex;align-items:center;gap:7px}
.key i{width:11px;height:11px;border-radius:3px;display:inline-block}
.key .k-dot{background:var(--dot);opacity:.5;border-radius:50%;width:8px;height:8px}
.key .k-median{background:var(--mark);width:3px;height:14px}
.key .k-span{background:var(--mark);opacity:.28;width:20px;height:7px}
.key .k-expected{border:2px solid var(--warn);transform:rotate(45deg);width:9px;height:9px;
border-radius:1px}
.grid{stroke:var(--line);stroke-width:1}.base{stroke:var(--faint);stroke-width:1}
.tick{fill:var(--soft);font-size:11.5px}.name{fill:var(--ink);font-size:13px;font-weight:600}
.in{fill:var(--in);font-size:11.5px;font-weight:600}
.dot{fill:var(--dot);fill-opacity:.45}.dot.out{fill:none;stroke:var(--soft);stroke-width:1.2}
.span{stroke:var(--mark);stroke-opacity:.28;stroke-width:8;stroke-linecap:round}
.median{stroke:var(--mark);stroke-width:2.6;stroke-linecap:round}
.expected{fill:var(--card);stroke:var(--warn);stroke-width:2}
.level{stroke:var(--mark);stroke-width:2;stroke-opacity:.45;stroke-linecap:round}
.lines .dot{fill-opacity:.85}
.slower{stroke:var(--bad);stroke-width:1.8;stroke-dasharray:4 3}
.faster{stroke:var(--good);stroke-width:1.8;stroke-dasharray:4 3}
.day{fill:var(--dot);fill-opacity:.75}rect.bad{fill:var(--bad)}
.lines{display:grid;grid-template-columns:repeat(auto-fill,minmax(380px,1fr));gap:18px 26px;
margin-bottom:8px}
figure{margin:0}figcaption{font-size:13px;margin-bottom:4px}figcaption span{color:var(--soft)}
footer{color:var(--soft);font-size:13px;padding-bottom:48px;padding-top:6px}
@media(max-width:640px){main,header,footer{padding-left:14px;padding-right:14px}
section{padding:18px 16px}.lines{grid-template-columns:1fr}h1{font-size:25px}}
@media print{body{background:#fff}nav{display:none}section,.tile{break-inside:avoid;
border-color:#ccc}.scroll{overflow:visible}}
"""


def html_of(document: Document) -> str:
    """Return the whole page."""
    links = "".join(
        f'<a href="#{escape(each.id)}">{escape(each.title)}</a>' for each in document.sections
    )
    tiles = "".join(map(_tile, document.tiles))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(document.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(document.title)}</h1><p>{escape(document.subtitle)}</p>"
        f"<nav>{links}</nav></header>\n<main>\n"
        f'<div class="tiles">{tiles}</div>\n'
        + "\n".join(map(_section, document.sections))
        + f"\n</main>\n<footer>{escape(document.footer)}</footer>\n</body>\n</html>\n"
    )


def _tile(tile: Tile) -> str:
    bar = "" if tile.share is None else _bar(tile.share)
    return (
        f'<div class="tile"><small>{escape(tile.label)}</small>'
        f'<b class="{tile.tone.value}">{escape(tile.value)}</b>'
        f"<em>{escape(tile.detail)}</em>{bar}</div>"
    )


def _section(section: Section) -> str:
    blocks = "".join(map(_block, section.blocks))
    lead = f'<p class="lead">{escape(section.lead)}</p>' if section.lead else ""
    return (
        f'<section id="{escape(section.id)}"><h2>{escape(section.title)}</h2>{lead}{blocks}'
        "</section>"
    )


def _block(block: Block) -> str:
    match block:
        case Table():
            return _table(block)
        case Text():
            return f'<p class="{block.tone.value}">{escape(block.text)}</p>'
        case Points():
            lines = "".join(
                f'<li class="{line.tone.value}">{escape(line.text)}</li>' for line in block.lines
            )
            return f"<ul>{lines}</ul>"
        case _:
            return f"<h3>{escape(block.title)}</h3>{svg_of(block)}"


def _table(table: Table) -> str:
    title = f"<h3>{escape(table.title)}</h3>" if table.title else ""
    if not table.rows:
        return f'{title}<p class="none">{escape(table.empty)}</p>'
    classes = [
        "n" if column.is_number else _width(row[index].text for row in table.rows)
        for index, column in enumerate(table.columns)
    ]
    heads = "".join(
        f'<th class="{"n" if column.is_number else ""}">{_head(column.title)}</th>'
        for column in table.columns
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td class="{name}">{_cell(cell, is_code=column.is_code)}</td>'
            for name, column, cell in zip(classes, table.columns, row, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    return (
        f'{title}<div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _head(title: str) -> str:
    """Return a head that may break where a name has its joints."""
    return escape(title).replace(".", ".<wbr>").replace("_", "_<wbr>")


def _width(texts: Iterable[str]) -> str:
    longest = max(map(len, texts), default=0)
    return "vlong" if longest > _VERY_LONG else "long" if longest > _LONG else ""


def _cell(cell: Cell, *, is_code: bool) -> str:
    text = escape(cell.text)
    if is_code:
        text = f"<code>{text}</code>"
    if cell.share is not None:
        text = f'{_bar(cell.share)}<span class="{cell.tone.value}">{text}</span>'
    elif cell.tone in {Tone.GOOD, Tone.BAD, Tone.WARN} and len(cell.text) > 1:
        text = f'<span class="pill {cell.tone.value}">{text}</span>'
    elif cell.tone is not Tone.PLAIN:
        text = f'<span class="{cell.tone.value}">{text}</span>'
    return text + (f"<small>{escape(cell.note)}</small>" if cell.note else "")


def _bar(share: float) -> str:
    width = 100 * max(0.0, min(1.0, share))
    return f'<span class="bar"><i style="width:{width:.1f}%"></i></span>'
