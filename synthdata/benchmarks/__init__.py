"""What measures this package: speeds beside those of other libraries, the cost of a step, and the arms side by side.

In comes the configuration of one measurement (and for some a finished run or dataset); out go numbers and, of
``headline``, the folder of its trainings with their table. ``recipes/benchmark.py`` is the only caller, a verb for a
file, and no other room imports this one. Comparing *datasets* is not here but in ``training.compare``: its trainings
answer a user's question about their data, and measure nothing of this package.
"""
