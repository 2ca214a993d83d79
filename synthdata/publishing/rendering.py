"""Cards and pages from the templates in cards/templates, which a wheel carries inside the package."""

from pathlib import Path
from typing import Any

from huggingface_hub import CardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_FOLDERS = (Path(__file__).with_name("templates"), Path(__file__).parents[2] / "cards" / "templates")


def render(template: str, data: CardData, **facts: Any) -> str:
    """A card: the header ``data`` and the template of that name, filled with ``facts``.

    Raises:
        jinja2.UndefinedError: the template names a fact that is not among ``facts``.
    """
    return environment(autoescape=False).get_template(template).render(header=data.to_yaml(), **facts)


def environment(autoescape: bool) -> Environment:
    """What renders templates; with ``autoescape``, facts are shown as text and never taken for HTML."""
    return Environment(
        loader=FileSystemLoader(_FOLDERS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=autoescape,
    )
