"""What a comparison found of the label reach that a dataset gives: kept in its folder, and one sentence of its card."""

import hashlib
import json
from pathlib import Path
from typing import Any

from synthdata.emission.manifest import read_manifest
from synthdata.errors import FailureError, MisuseError
from synthdata.publishing.sources import describe_source
from synthdata.reading import read_json

FILE = "label_reach.json"

MEND = "delete it, or compare again with --tell_cards true"


def keep_label_reach(folder: Path, way: str, circumstances: dict[str, Any]) -> bool:
    """Keep in the folder of a dataset what was measured of encoders trained on it beside real images.

    Args:
        folder: of a finished dataset.
        way: of training on it, as the comparison calls it.
        circumstances: of the comparison, with ``label_reach`` of ``way`` and of ``real``.

    Returns:
        Whether there was something to keep: False where label reach was refused.

    Raises:
        FailureError: the folder cannot be written.
    """
    found = circumstances["label_reach"]
    if "refused" in found:
        return False
    facts = {
        "dataset": _identity(read_manifest(folder)),
        **{name: circumstances[name] for name in ("source", "method", "steps")},
        **{name: found[name] for name in ("images", "features")},
        "with_dataset": found["ways"][way],
        "real": found["ways"]["real"],
    }
    try:
        (folder / FILE).write_text(json.dumps(facts, indent=2) + "\n")
    except OSError as error:
        raise FailureError(f"cannot write {folder / FILE}: {error.strerror}; make room, or allow writing") from error
    return True


def label_reach_sentence(folder: Path, manifest: dict[str, Any]) -> str | None:
    """One sentence for the card of a dataset; None where nothing was measured, or that of another content.

    Raises:
        MisuseError: the file is damaged.
    """
    path = folder / FILE
    try:
        facts = read_json(path, dict[str, Any], MEND, MisuseError)
        return _sentence(facts) if facts["dataset"] == _identity(manifest) else None
    except FileNotFoundError:
        return None
    except (KeyError, TypeError) as error:
        raise MisuseError(f"{path} is damaged ({error!r}): {MEND}") from error


def _sentence(facts: dict[str, Any]) -> str:
    with_dataset, real = facts["with_dataset"], facts["real"]
    seeds = len(with_dataset["reach"]["values"])
    return (
        f"Label reach: a linear readout of the {facts['features']:,} features of an encoder trained on this dataset"
        f" beside real images ({facts['method']}, {facts['steps']:,} steps) expresses {_percent(with_dataset['reach'])}"
        f" of the variance of the labels of {facts['images']:,} held-out images of"
        f" {describe_source(facts['source'])['description']} (permuted labels: {_percent(with_dataset['chance'])}); of"
        f" one trained on the real images alone, {_percent(real['reach'])} (permuted labels:"
        f" {_percent(real['chance'])}). Means over {seeds} seed{'s' if seeds != 1 else ''}; it says nothing of other"
        " encoders."
    )


def _percent(summary: dict[str, Any]) -> str:
    spread = f" ± {100 * summary['std']:.1f}" if len(summary["values"]) > 1 else ""
    return f"{100 * summary['mean']:.1f}{spread} %"


def _identity(manifest: dict[str, Any]) -> str:
    """Changes with any shard."""
    return hashlib.sha256("".join(shard["sha256"] for shard in manifest["shards"]).encode()).hexdigest()
