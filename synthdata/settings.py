"""Settings handed on from one program's configuration to another's."""

from dataclasses import fields
from typing import Any


def settings_of(config: Any, kind: type[Any]) -> dict[str, Any]:
    """Those of ``config``, a dataclass, that the dataclass ``kind`` has as well, by name: what builds one of it."""
    return {field.name: getattr(config, field.name) for field in fields(kind)}
