"""The verbs of ``synthdata``, a file for each.

In comes what a person typed, as the dataclass beside each verb; out go lines to read, and an exit code. Only
``synthdata.cli`` calls them: a new verb is a file here and a line there. What a verb needs is imported where it is
used, so that ``--help`` comes at once; what it does is a function of another room.
"""
