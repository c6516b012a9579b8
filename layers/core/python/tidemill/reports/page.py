"""The shell of a report: one self-contained page in which data can only ever be text.

All HTML is made by `tag`, which escapes whatever is not `Markup`: there is no place to forget it. The page's own
policy lets nothing run and nothing load, should that ever fail.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, Literal

Tone = Literal["pass", "warn", "fail", "calm"]
LONGEST_NAME, LONGEST_TEXT = 60, 500
NOTHING = "–"
# What a file can hold and a page cannot show, or shows in another order than it is.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")

STYLE = """
:root{color-scheme:light dark;--paper:#fcfbf9;--tint:#f4f2ed;--ink:#20242a;--muted:#68707a;--line:#e4e0d8;
--accent:#2b6c8c;--before:#b9bec4;--pass:#2c7a4b;--warn:#9a6206;--fail:#b23a31;--calm:#2b6c8c}
@media(prefers-color-scheme:dark){:root{--paper:#15181b;--tint:#1d2125;--ink:#e7e4de;--muted:#98a0a8;--line:#2e343a;
--accent:#71b6d3;--before:#565e66;--pass:#6fc18d;--warn:#dfac5c;--fail:#ee857b;--calm:#71b6d3}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);overflow-wrap:anywhere;
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:940px;margin:0 auto;padding:56px 28px 72px}
h1,.verdict p:first-of-type{font-family:Charter,"Iowan Old Style",Palatino,Georgia,"DejaVu Serif",serif;font-weight:500}
h1{font-size:2.1rem;line-height:1.2;margin:0;letter-spacing:-.01em}
h2{font-size:1.1rem;font-weight:650;margin:0 0 4px}
h3{font-size:.875rem;font-weight:600;margin:0 0 8px}
p{margin:0;max-width:72ch}
section{margin-top:52px}
.note,.sub,figcaption,footer,.unit{color:var(--muted);font-size:.875rem}
.sub{margin-top:6px}
section>.note{margin-bottom:16px}.facts+table,.facts+.scroll{margin-top:20px}table~.note{margin-top:12px}
.strip{display:block;margin-bottom:12px}
.kind,th,dt,summary,.badge{font-size:.75rem;font-weight:600;letter-spacing:.03em;color:var(--muted)}
.kind{letter-spacing:.1em;text-transform:uppercase;margin-bottom:8px}
.pass{--tone:var(--pass)}.warn{--tone:var(--warn)}.fail{--tone:var(--fail)}.calm{--tone:var(--calm)}
.verdict{margin-top:32px;padding:22px 26px;background:var(--tint);border-left:4px solid var(--tone);border-radius:3px}
.verdict p:first-of-type{font-size:1.35rem;line-height:1.4}
.verdict .badge{display:block;margin-bottom:4px}
.verdict p+p,.verdict ul{margin-top:10px}
.badge{color:var(--tone,var(--muted));white-space:nowrap}
.badge::before{content:"";display:inline-block;width:.6em;height:.6em;border-radius:50%;background:var(--tone);
margin-right:.5em}
.badge.fail::before{border-radius:1px}
ul{margin:0;padding-left:1.2em}li+li{margin-top:4px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums lining-nums}
th,td{text-align:left;vertical-align:top;padding:9px 20px 9px 0;border-bottom:1px solid var(--line)}
th:last-child,td:last-child{padding-right:0}
.ranking td{vertical-align:middle}.ranking td:nth-child(2){width:50%}.ranking svg{margin:0;width:100%;height:12px}
.bare td{border:0;vertical-align:middle}.bare svg{margin:0}
th{vertical-align:bottom;border-bottom-color:var(--muted);white-space:nowrap}
.r{text-align:right;white-space:nowrap}
td:first-child{min-width:8.5em}
td svg{display:block;max-width:none;margin-top:3px}
.unit{display:block}
.facts,.charts{margin-top:20px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:20px 28px;margin-bottom:0}
dd{margin:2px 0 0;font-size:1.3rem;line-height:1.3;font-variant-numeric:tabular-nums lining-nums}
dd .unit{font-size:.8rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(340px,100%),1fr));gap:32px 36px}
figure{margin:0;break-inside:avoid}
svg{max-width:100%;height:auto;overflow:visible}
svg+.unit{margin-top:4px;white-space:nowrap}
svg text{font:11px system-ui,sans-serif;fill:var(--muted);font-variant-numeric:tabular-nums}
.bar,.dot{fill:var(--accent)}.cloud{fill:var(--accent);fill-opacity:.45}.past{fill:var(--before)}
.grid{stroke:var(--line);fill:none}.axis{stroke:var(--muted);fill:none}
.curve,.whisker{stroke:var(--accent);stroke-width:2;fill:none;stroke-linejoin:round}
.thin{stroke-width:1.5}.other .whisker{stroke:var(--muted)}.other .dot{fill:var(--muted)}
.ideal,.mark{stroke:var(--muted);stroke-dasharray:3 4;fill:none}.mark{stroke-dasharray:none;stroke:var(--ink)}
.tone{fill:var(--tone)}
.key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .4em 0 1em;background:var(--tone)}
.key.past{background:var(--before)}.key:first-child{margin-left:0}
.share{display:flex;height:10px;border-radius:3px;overflow:hidden;gap:2px;margin-bottom:20px}
.share span{background:var(--tone);min-width:2px}
.confusion{width:auto}.confusion td{text-align:right;min-width:4.5em;padding:9px 12px;
background:color-mix(in srgb,var(--accent) calc(var(--share)*45%),transparent)}
.confusion .unit{color:inherit;opacity:.8}
.confusion th{padding:9px 12px;border:0;vertical-align:middle;white-space:normal}
.problems{display:grid;gap:12px;margin-top:14px;padding:0;list-style:none}.problems li+li{margin:0}
.verdict .problems+details{margin-top:10px}.do{color:var(--muted)}.do::before{content:"→ "}
.flow{display:grid;grid-template-columns:auto minmax(70px,1fr) auto;gap:0 16px;align-items:center;margin-top:18px}
.flow svg{display:block;width:100%;max-width:none}.flow .band{fill:var(--tone);fill-opacity:.28}
.flow div div{display:flex;flex-direction:column;justify-content:center}.flow span{white-space:nowrap}
.flow b,.flow p{font-size:1.3rem;line-height:1.25;font-weight:400;font-variant-numeric:tabular-nums lining-nums}
.flow p{text-align:right}.flow .none{flex-direction:row;justify-content:start;align-items:baseline;gap:8px;opacity:.65}
.flow .none b{font-size:1rem}
.findings{padding:0;list-style:none;border-top:1px solid var(--line)}
.findings li{display:grid;grid-template-columns:13.5em 1fr;gap:2px 20px;padding:11px 0;margin:0;font-size:.95rem;
border-bottom:1px solid var(--line);break-inside:avoid}
.findings .badge{line-height:1.9;white-space:normal}.findings .do{font-size:.875rem}
.reasons td:nth-child(2){width:22%;min-width:70px}.reasons svg{width:100%;height:12px}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(256px,100%),1fr));gap:36px 32px;margin-top:20px}
.card{display:flex;flex-direction:column;min-width:0;border-top:1px solid var(--line);padding-top:12px;
break-inside:avoid}
.card h3{font-size:.95rem;margin:0;line-height:1.35;unicode-bidi:isolate}
.card .unit{font-size:.8rem;line-height:1.45}.card>.unit:last-of-type{margin-bottom:0}
.drawn{margin:10px 0 8px}.drawn .plot{display:block;width:100%;height:64px;max-width:none;overflow:hidden}
.plot .curve{vector-effect:non-scaling-stroke}.plot .now{fill:var(--accent);fill-opacity:.14}
.plot .axis{vector-effect:non-scaling-stroke;stroke:var(--line)}
.ends{display:flex;justify-content:space-between;gap:12px;font-size:.72rem;color:var(--muted);margin-top:3px;
font-variant-numeric:tabular-nums lining-nums}
.levels{display:grid;grid-template-columns:fit-content(45%) 1fr auto;gap:3px 10px;align-items:center;
font-size:.8rem;line-height:1.3;font-variant-numeric:tabular-nums lining-nums}
.levels svg{display:block;width:100%;height:11px;max-width:none}
.levels>span{white-space:nowrap;overflow:hidden;text-overflow:ellipsis;unicode-bidi:isolate}
.levels>.r{color:var(--muted)}
.share-of{display:flex;align-items:center;gap:10px}.share-of svg{flex:none;width:64px;height:8px}
.moved{color:var(--ink);font-weight:600}.badges{display:flex;flex-wrap:wrap;gap:2px 14px;margin-top:2px}
code{unicode-bidi:isolate;font:.8rem ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
details{margin-top:16px}summary{cursor:pointer;padding:4px 0}
footer{margin-top:64px;padding-top:16px;border-top:1px solid var(--line)}
@media(max-width:640px){main{padding:32px 18px 48px}h1{font-size:1.6rem}.verdict{padding:18px}
.stack thead{display:none}.stack tr{display:block;padding:14px 0;border-bottom:1px solid var(--line)}
.stack td{display:block;text-align:left;white-space:normal;border:0;padding:2px 0}
.stack td:empty{display:none}.stack svg{max-width:100%}
.flow{grid-template-columns:minmax(60px,1fr) auto;gap:10px 14px}.flow>p{grid-column:1/-1;text-align:left}
.flow .badge{white-space:normal;max-width:9.5em}
.findings li{grid-template-columns:1fr}.cards{gap:28px}
.reasons td:nth-child(2){width:auto}
.ranking td{padding-right:12px}.ranking td:first-child{min-width:0}th,td{padding-right:14px}
.stack td[data-is]::before{content:attr(data-is);color:var(--muted);font-size:.75rem;font-weight:600;margin-right:.6em}}
@media print{:root{color-scheme:light;font-size:12px}body{font-size:1rem;background:none}
h2,.note{break-after:avoid}main{max-width:none;padding:0}
.cards{grid-template-columns:repeat(3,1fr)}.examples details{display:none}
section{margin-top:28px}tr,.verdict{break-inside:avoid}details::details-content{content-visibility:visible}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


class Markup(str):
    """HTML already: made here and by the charts, never from data."""

    __slots__ = ()


def text(value: object, most: int = LONGEST_TEXT) -> Markup:
    """Data as it may stand in a page: escaped, printable, of bounded length."""
    if isinstance(value, Markup):
        return value
    whole = str(value)
    return Markup(_escaped(whole if len(whole) <= most else f"{whole[: most - 1]}…"))


def _escaped(value: object) -> str:
    return escape(_UNSHOWABLE.sub("\ufffd", str(value)))


def tag(_name: str, *content: object, **attributes: object) -> Markup:
    """`class_` is the attribute class, `stroke_width` is stroke-width; None as content or value is left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{_name}{written}>{join(content)}</{_name}>")


def join(parts: Iterable[object], between: str = "") -> Markup:
    return Markup(text(between).join(text(part) for part in parts if part is not None))


def name(value: object) -> Markup:
    """A column's or a class's name; the whole of a long one is shown where it is pointed at."""
    if isinstance(value, Markup) or len(str(value)) <= LONGEST_NAME:
        return text(value)
    return tag("span", text(value, LONGEST_NAME), title=str(value)[:LONGEST_TEXT])


def page(kind: str, title: str, sub: object, verdict: Markup, sections: Iterable[Markup | None], footer: str) -> str:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)} · {text(kind)}</title><style>{STYLE}</style>"
    )
    body = tag(
        "main",
        tag("header", tag("p", kind, class_="kind"), tag("h1", name(title)), tag("p", sub, class_="sub")),
        verdict,
        *sections,
        tag("footer", tag("p", footer)),
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def verdict(tone: Tone, label: str, says: str, *more: object) -> Markup:
    return tag("div", badge(tone, label), tag("p", says), *more, class_=f"verdict {tone}")


def badge(tone: Tone, label: str) -> Markup:
    return tag("span", label, class_=f"badge {tone}")


def section(title: str, *content: object, note: object = None) -> Markup:
    return tag("section", tag("h2", title), note and tag("p", note, class_="note"), *content)


def items(sentences: Iterable[object]) -> Markup:
    return tag("ul", *(tag("li", each) for each in sentences))


def paragraphs(sentences: Sequence[object]) -> Markup | None:
    if len(sentences) > 1:
        return items(sentences)
    return tag("p", sentences[0]) if sentences else None


def unit(*content: object) -> Markup:
    """The quieter second line of a cell or a fact."""
    return tag("span", *content, class_="unit")


def facts(pairs: Iterable[tuple[str, object]]) -> Markup:
    rows = (tag("div", tag("dt", key), tag("dd", value)) for key, value in pairs)
    return tag("dl", *rows, class_="facts")


def table(
    heads: Sequence[str], rows: Sequence[Sequence[object]], align: str = "", *, most: int = 0, narrow: bool = False
) -> Markup:
    """`align` holds l or r a column; rows beyond `most` are folded away. On a phone a row becomes a block, unless
    the table is `narrow` enough for it."""
    sides = ["r" if side == "r" else None for side in align.ljust(len(heads))]
    head = tag("thead", tag("tr", *(tag("th", h, class_=side) for h, side in zip(heads, sides, strict=True))))

    def body(shown: Sequence[Sequence[object]]) -> Markup:
        lines = (
            tag(
                "tr",
                *(tag("td", cell, class_=s, data_is=s and h) for cell, s, h in zip(row, sides, heads, strict=True)),
            )
            for row in shown
        )
        return tag("div", tag("table", head, tag("tbody", *lines), class_=None if narrow else "stack"), class_="scroll")

    return join(folded(rows, most or len(rows), body))


def folded(entries: Sequence[Any], most: int, draw: Callable[[Sequence[Any]], Markup]) -> list[Markup]:
    """What is drawn of the entries, those beyond `most` out of sight until they are asked for."""
    shown = draw(entries[:most])
    rest = entries[most:]
    return [shown, tag("details", tag("summary", f"{count(len(rest))} more"), draw(rest))] if rest else [shown]


def closed(words: str) -> str:
    """A finding that may begin with a name, with its full stop."""
    return words if words.endswith((".", "…", "?")) else f"{words}."


def sentence(words: str) -> str:
    """A finding that begins with an ordinary word, as a sentence of its own."""
    return closed(words[:1].upper() + words[1:] if words.partition(" ")[0].rstrip(",;").isalpha() else words)


def finite(value: Any) -> float | None:
    """The number, or None for all that a chart cannot place: None, NaN, infinity, text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def count(value: Any) -> str:
    return NOTHING if finite(value) is None else f"{value:,.0f}"


def number(value: Any) -> str:
    """Four significant digits, thousands grouped."""
    known = finite(value)
    if known is None:
        return NOTHING
    if not known:
        return "0"
    exponent = not 1e-4 <= abs(known) < 1e9
    return format(known, ".3g" if exponent else ",.0f" if abs(known) >= 1000 else ".4g").replace("-", "−")


def size(value: Any) -> str:
    """Bytes for people, in powers of 1,000."""
    known = finite(value)
    if known is None:
        return NOTHING
    for limit, label in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if known >= limit:
            return f"{known / limit:.3g} {label}"
    return f"{known:,.0f} bytes"


def percent(value: Any) -> str:
    known = finite(value)
    if known is None:
        return NOTHING
    return "< 0.1%" if 0 < known < 0.001 else f"{known:.1%}".replace(".0%", "%").replace("-", "−")


def moment(iso: Any) -> str:
    """A time in UTC for people: 4 Jul 2013, 00:00; whatever is no time, as it is."""
    try:
        at = datetime.fromisoformat(str(iso))
    except ValueError:
        return str(iso)
    return f"{at.day} {at:%b %Y}, {at:%H:%M}"


def settings(params: Mapping[str, Any]) -> str:
    shown = (f"{key} {number(value) if finite(value) is not None else value}" for key, value in params.items())
    return " · ".join(shown) or "defaults"
