"""The page behind `GET /docs`: what each model takes, and a form to try it.

The page is the same for every deployment. Its script reads `openapi.json` beside it, and only ever makes text of what
it read. The policy lets nothing run but that script, and nothing be asked but the API that served the page.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path

from tidemill.reports.page import STYLE, Markup, join, tag
from tidemill.stages.http import Page

_OWN_STYLE = """
.models{display:flex;flex-wrap:wrap;gap:4px 18px;margin-top:20px}.models a{font-weight:600}
a{color:var(--accent)}
textarea,input:not([type=checkbox]){width:100%;padding:10px 12px;border:1px solid var(--line);border-radius:3px;
background:var(--tint);color:var(--ink);font:.85rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
textarea{resize:vertical;white-space:pre;overflow-wrap:normal;overflow-x:auto}
textarea:focus,input:focus,button:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
label{display:block;font-size:.875rem;font-weight:600;margin:24px 0 6px}
pre{margin:0;padding:12px;border-radius:3px;background:var(--tint);overflow:auto;max-height:420px;
font:.85rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre}
button{font:inherit;font-size:.9rem;font-weight:600;padding:7px 20px;border:0;border-radius:3px;cursor:pointer;
background:var(--accent);color:var(--paper)}
button:disabled{opacity:.5;cursor:default}
.send{display:flex;align-items:center;gap:16px;margin:12px 0}
.send label{display:flex;gap:8px;margin:0;font-weight:400}
.moved details{margin:20px 0}
.short{white-space:nowrap}
.name{font-weight:600;unicode-bidi:isolate}
.key-field{max-width:340px}
"""
_POLICY = (
    "default-src 'none'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)


@cache
def page() -> Page:
    script, style = Path(__file__).with_name("docs.js").read_text(encoding="utf-8"), STYLE + _OWN_STYLE
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Tidemill API</title><style>{style}</style>"
    )
    sub = join(
        ["Described as ", tag("a", "OpenAPI 3.1", href="openapi.json", id="openapi"), ", for clients of any kind."]
    )
    body = tag(
        "main",
        tag("header", tag("p", "Tidemill", class_="kind"), tag("h1", "API"), tag("p", sub, class_="sub")),
        tag("div", tag("noscript", "This page needs JavaScript; openapi.json says the same."), id="content"),
    )
    html = (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}{Markup(f"<script>{script}</script>")}'
        "</body></html>\n"
    )
    policy = "; ".join((*_POLICY, f"style-src '{_digest(style)}'", f"script-src '{_digest(script)}'"))
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return Page(html, headers)


def _digest(source: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"
