"""The one place where text from data becomes HTML.

Every string that a dataset, a model or a results file holds is untrusted: it reaches a page only through
`escape` (markup and attributes), `chart_text` (words that plotly.js draws, which understands a little HTML of
its own) or `script_json` (data inside a `<script type="application/json">` block).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json

from radlite.show.text import clean


def escape(text: object, limit: int = 4000) -> str:
    """`text` for HTML element content or an attribute: cleaned, cut at `limit`, & < > " ' escaped."""
    return html.escape(clean(text, limit), quote=True)


def chart_text(text: object, limit: int = 200) -> str:
    """`text` for a label that plotly.js draws. It decodes &lt; and &#34; but not &quot;: hence the swap."""
    return escape(text, limit).replace("&quot;", "&#34;")


def script_json(value: object) -> str:
    """`value` as JSON that cannot end its script block or open a comment: no <, >, & or U+2028/2029 in it."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def csp_hash(script: str) -> str:
    """The Content-Security-Policy source that lets exactly this inline script run, and no injected one."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
