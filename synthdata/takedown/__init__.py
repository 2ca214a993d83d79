"""Listed training images leave a run and what was emitted from it, and an audit shows it.

In comes a ``TakedownConfig`` that names a run and a list of images (``takedown.take_down``), then a dataset and the new
run (``shards.take_down_shards``), then both runs (``audit.audit``); out come a run directory without the images, a
dataset that supersedes the old one, and numbers of what can still be told. ``forgetting`` holds the step of the
encoder, ``generator`` that of the generator; both run in the loop of ``training``. Recipes, the verb ``synthdata
takedown`` and benchmarks call this room; training, emission and publishing never do.
"""
