"""Names that users may choose, and those that they may not."""

from __future__ import annotations

ALLOWED = {
    "html": "<img src=x onerror=alert(1)>",
    "script": "</script><script>alert(document.cookie)</script>",
    "attribute": "\" onmouseover='alert(1)' x=\"",
    "template": "{{7*7}}${7*7}<%= 7*7 %>",
    "formula": '=HYPERLINK("http://evil.example","click")',
    "command": "@SUM(1+1)*cmd|' /C calc'!A0",
    "minus": "-2+3+cmd|' /C calc'!A0",
    "full width": "\uff1dcmd|' /C calc'!A0",
    "apostrophe": "'=1+1",
    "path": "../../etc/passwd",
    "windows": "C:\\con\\aux.csv",
    "quotes": 'a";filename="evil.sh',
    "header": "a; filename*=UTF-8''evil.sh",
    "percent": "%0d%0aSet-Cookie: a=b",
    "dot": ".htaccess",
    "arabic": "\u062f\u0631\u0627\u0633\u0629 \u0623\u0648\u0644\u0649",
    "emoji": "\U0001f680 study",
    "accents": "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324",
    "sql": "'; DROP TABLE studies; --",
    "markup": "[bold red]x[/] [link=http://evil.example]y[/link]",
    "zero width": "a\u200bb",
    "long": "x" * 200,
}
"""Names without control characters or marks: kept as they are."""

REFUSED = {
    "escape": "\x1b]0;owned\x07\x1b[2J",
    "line end": 'a\n{"event": "forged"}',
    "carriage return": "a\rb",
    "tab": "\t=1+1",
    "override": "abc\u202egpj.exe",
    "isolate": "a\u2066b",
    "line separator": "a\u2028b",
    "10,000 characters": "x" * 10_000,
}
"""Names with what a terminal or a reader would obey, or too long: refused."""

FREE_TEXT = "".join(REFUSED[name] for name in ("escape", "line end", "override", "line separator"))
"""What may stand in text that is no name: notes, descriptions, messages of failures."""
