"""The chain of what something was made from."""

from dataclasses import dataclass
from typing import Any

from synthdata.publishing.sources import describe_source


@dataclass(frozen=True)
class Step:
    """One link of the chain.

    Attributes:
        title: what it is.
        facts: what is known of it, a line each; inline Markdown.
        here: whether it is what the page is about.
    """

    title: str
    facts: list[str]
    here: bool = False


def source_of(manifest: dict[str, Any]) -> dict[str, Any] | None:
    """What a dataset's manifest tells of the real images; None if they are not what its rows come from."""
    source = manifest["run"].get("source")
    return source if isinstance(source, dict) and {"data", "images", "sha256"} <= source.keys() else None


def source_step(source: dict[str, Any]) -> Step:
    """The real images, as ``source_of`` gives them."""
    facts = [describe_source(source["data"])["description"], f"{source['images']:,} training images"]
    return Step("Source", [*facts, f"sha256 {source['sha256'][:12]}…"])
