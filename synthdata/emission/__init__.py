"""Samples of a finished run, chosen and written as sharded datasets.

``synthdata.emission.emit`` makes a dataset; what is here reads and checks one, and loads no model.
"""

from synthdata.emission.manifest import finish_dataset, read_manifest
from synthdata.emission.verify import verify_dataset

__all__ = ["finish_dataset", "read_manifest", "verify_dataset"]
