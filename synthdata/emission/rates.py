"""How fast an emission is next to what it is made of."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch

from synthdata.emission.compute import ModelThreads, embed_real_images
from synthdata.emission.config import EmissionConfig
from synthdata.emission.criteria import measure_criteria
from synthdata.emission.emit import default_threads, emit_run
from synthdata.emission.plan import Kind, plan_shards
from synthdata.emission.run import Run
from synthdata.emission.scoring import forward_batch
from synthdata.emission.shards import selected_rows


@dataclass(frozen=True)
class EmissionRates:
    """Images per second, on all threads, for one kind of rows. Every candidate counts, emitted or not.

    Attributes:
        generator: the generator's bare forward pass.
        selection: forward pass, scores and choice, without encoding and writing.
        emission: the whole, into a temporary folder.
        rows: rows per second of the whole.
    """

    generator: float
    selection: float
    emission: float
    rows: float
