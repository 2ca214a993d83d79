"""Samples of a finished run, chosen and written as sharded datasets.

In comes an ``EmissionConfig`` that names a run directory; out comes a dataset directory without its card: shards, and a
manifest once all of them are there. ``emit.emit`` makes one, and whoever calls it then has
``publishing.complete.complete_dataset`` write the card. What is exported here reads and checks a dataset, and loads no
model; publishing and the verbs of ``synthdata`` call that, recipes and benchmarks call ``emit``.
"""

from synthdata.emission.manifest import finish_dataset, read_manifest
from synthdata.emission.verify import verify_dataset

__all__ = ["finish_dataset", "read_manifest", "verify_dataset"]
