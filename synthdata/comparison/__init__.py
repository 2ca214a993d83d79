"""Ways of training side by side: scores of finished trainings in, tables, plots and the data efficiency out.

In come accuracies by way of training, number of real images and seed; out come their summaries over seeds, gains within
a seed with their intervals, and how many real images a way is worth. Training, evaluation, benchmarks and the pages
call it; it imports no other room.
"""

from synthdata.comparison.summary import GAINS, Summary, markdown_table
from synthdata.comparison.ways import BASELINE, Comparison, Trained, as_json, as_markdown, factor_text

__all__ = [
    "BASELINE",
    "GAINS",
    "Comparison",
    "Summary",
    "Trained",
    "as_json",
    "as_markdown",
    "factor_text",
    "markdown_table",
]
