"""What an audit found, for a person to read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from synthdata.comparison import markdown_table

LEAST_POWER = 0.6
"""An attack that tells members of the run before from others no better than this AUC tells nothing of the new run."""

CLOSE = 0.03
"""A membership AUC this near to the reference's is the same."""

RUNS = ("before", "after", "reference")


def verdict(measured: dict[str, Any]) -> str:
    """One sentence on what the audit allows to conclude."""
    power = measured["power"]["auc"]["value"]
    if power < LEAST_POWER:
        return (
            f"Nothing can be concluded: the attack tells who was in the training of the run before with an AUC of"
            f" {power:.2f} only, and would have to reach {LEAST_POWER}."
        )
    after = measured["after"]["membership"]["auc"]["value"]
    before = measured["before"]["membership"]["auc"]["value"]
    told = f"The membership AUC of the images went from {before:.2f} to {after:.2f}"
    if "reference" not in measured:
        return f"{told}; which value a run has that never saw them, only a --reference tells, and it need not be 0.5."
    goal = measured["reference"]["membership"]["auc"]["value"]
    distance = after - goal
    if abs(distance) <= CLOSE:
        return f"{told}, where a run that never saw them has {goal:.2f}: forgotten, as far as this attack can tell."
    if distance > 0:
        return f"{told}, where a run that never saw them has {goal:.2f}: they are still known."
    return (
        f"{told}, where a run that never saw them has {goal:.2f}: over-forgotten, which marks them out as much as being"
        " known does."
    )


def as_markdown(result: dict[str, Any]) -> str:
    """A table with a column for each run, under the verdict."""
    names = [name for name in RUNS if name in result]
    rows = [[label, *cells] for label, cells in _lines(result, names)]
    power = result["power"]["auc"]
    told = (
        f"{result['forgotten']:,} images. Power: AUC of members against test images, on the run before,"
        f" {power['value']:.3f} ({_interval(power)})."
    )
    table = markdown_table(["", *names], rows)
    return f"# Audit of a takedown\n\n{result['verdict']}\n\n{told}\n\n{table}\n{_NOTES}"


_NOTES = """\
Membership: similarity of ten random views of an image to the encoder (EncoderMI, threshold form), of forgotten against
test images; in brackets, 95 % intervals over bootstraps of the images. The goal is the value of the reference, not 0.5.
What the generator's own score gives away is the AUC of the discriminator's score, or of minus the denoising loss.
"""


def save_plot(measured: dict[str, Any], path: Path) -> None:
    """Draw the membership AUC of every run, with its interval, into a PNG file."""
    names = [name for name in RUNS if name in measured]
    figure = Figure(figsize=(5, 1.2 + 0.5 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for place, name in enumerate(reversed(names)):
        each = measured[name]["membership"]["auc"]
        low, high = each["interval"]
        axis.plot([low, high], [place, place], color="C0")
        axis.plot(each["value"], place, "o", color="C0")
    if "reference" in measured:
        goal = measured["reference"]["membership"]["auc"]["value"]
        axis.axvspan(goal - CLOSE, goal + CLOSE, alpha=0.15, color="C2", label="as the reference")
        axis.legend(frameon=False, fontsize=8)
    axis.axvline(0.5, color="0.7", linewidth=0.8)
    axis.set_yticks(range(len(names)), reversed(names))
    axis.set(xlabel="membership AUC of the forgotten images", xlim=(0, 1), ylim=(-0.5, len(names) - 0.5))
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _lines(result: dict[str, Any], names: list[str]) -> Iterator[tuple[str, list[str]]]:
    for key, label in (("auc", "membership, AUC"), ("true_positive_rate", "true positives at 1 % false ones")):
        each = [result[name]["membership"][key] for name in names]
        yield label, [f"{one['value']:.3f} ({_interval(one)})" for one in each]
    yield "told to be non-members", [f"{100 * result[name]['membership']['told_non_members']:.1f} %" for name in names]
    for key in result[names[0]]["accuracy"]:
        way, part = key.split("_")
        label = f"{'k-NN' if way == 'knn' else way}, {part} images"
        yield label, [f"{result[name]['accuracy'].get(key, float('nan')):.2f} %" for name in names]
    if "per_example" in result:
        each = result["per_example"]
        yield (
            f"attack on each image, AUC ({each['shadows']} shadows)",
            [f"{each.get(name, ''):.3f}" if name in each else "" for name in names],
        )
    if "relearn_steps" in result[names[0]]:
        steps = [result[name]["relearn_steps"] for name in names]
        yield "steps to learn them again", ["more than were tried" if each is None else str(each) for each in steps]
    if all("generator" in result[name] for name in names):
        made = [result[name]["generator"] for name in names]
        yield "generated near copies of them", [f"{100 * each['near_copies']:.2f} %" for each in made]
        yield "the generator's score, AUC", [f"{each['score_auc']:.3f}" for each in made]


def _interval(each: dict[str, Any]) -> str:
    low, high = each["interval"]
    return f"{low:.3f} to {high:.3f}"
