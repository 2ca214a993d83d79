"""A page as one file: styles, script and images within it, and nothing fetched from anywhere."""

import base64
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from synthdata.errors import FailureError
from synthdata.publishing.pages.charts import number
from synthdata.publishing.rendering import environment

PAGE = "index.html"


def write_document(folder: Path, template: str, **facts: Any) -> Path:
    """Fill a template of ``cards/templates/pages`` with ``facts``, escaped, and write it as ``folder``'s page.

    The page's policy lets a browser apply its own style sheet and run its own script, told by their hashes, and show
    images that are within the page; everything else is forbidden.

    Raises:
        FailureError: the page cannot be written.
        jinja2.UndefinedError: the template names a fact that is not among ``facts``.
    """
    pages = environment(autoescape=True)
    pages.filters |= {"number": number, "inline": inline_markdown, "bytes": _bytes, "duration": duration}
    style, script = (pages.get_template(f"pages/page.{suffix}").render() for suffix in ("css", "js"))
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    inline = {"style": Markup(style), "script": Markup(script), "policy": policy}
    content = pages.get_template(f"pages/{template}").render(**inline, **facts)
    path, aside = folder / PAGE, folder / f".{PAGE}.partial"
    try:
        aside.write_text(content, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise FailureError(
            f"cannot write {path}: {error.strerror}; make room, then run `synthdata page {folder}`"
        ) from error
    return path


def inline_markdown(text: str) -> Markup:
    """Text with the links to https and the code of Markdown; everything else in it is shown as it is."""
    shown = re.sub(r"\[([^\]]*)\]\((https://[^)\s]*)\)", r'<a href="\2">\1</a>', str(escape(text)))
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", shown))


def duration(seconds: float) -> str:
    """A time for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def moment(iso: str) -> str:
    """A time of ISO 8601 in UTC, for people."""
    return datetime.fromisoformat(iso).astimezone(UTC).strftime("%-d %b %Y, %H:%M UTC")


def _bytes(size: float) -> str:
    """A size for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{size:.0f} bytes"
        size /= 1000
    return f"{size:,.3g} TB"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
