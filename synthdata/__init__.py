"""Joint training of a contrastive encoder and an image generator, and datasets written from both."""

import importlib
import sys

__version__ = "0.1.0"

if "diffusers" in sys.modules:
    # `DiffusionPipeline.from_pretrained` finds pipeline classes by name; importing the models makes ours known to it.
    # Without diffusers around, the import waits: it takes seconds that `synthdata verify` need not spend.
    importlib.import_module("synthdata.models")
