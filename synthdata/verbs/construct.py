"""``synthdata construct STRATEGY``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthdata.program import Verb, run_verb

if TYPE_CHECKING:
    from synthdata.construction.config import Config

DESCRIPTION = """\
Write relations between the rows of a source as a dataset: negatives, pairs to be judged, windows in time, masks. No
model is trained; the card tells what the relations hold.

  synthdata construct hard_negatives --source digits --encoder runs/digits/encoder --output out/negatives
  synthdata construct select_pairs --source responses.jsonl --rule easy --output out/pref
  synthdata construct partition --source trajectories.parquet --length 20 --overlap 1 --lag 1 --output out/windows
  synthdata construct region_mask --source csv:sequences.csv --region [15,30] --output out/masks
"""

LEAST_LIFT = 2.0
"""Below it, suspected facts are marked hardly better than at random."""

HELP = {
    "hard_negatives": "the rows nearest to each row, and which of them may be positives",
    "select_pairs": "which of several candidates for a prompt are to be judged",
    "partition": "windows of trajectories, and pairs of frames along time",
    "region_mask": "masks that are denser in a region",
}


@dataclass(frozen=True)
class ConstructVerb(Verb[Any]):
    """The verb whose first argument is a strategy, each with settings of its own."""

    def start(self, program: str, arguments: Sequence[str]) -> int:
        from synthdata.construction.config import STRATEGIES

        verbs = [Verb(name, HELP[name], config, construct) for name, config in STRATEGIES.items()]
        return run_verb(f"{program} {self.name}", verbs, DESCRIPTION, arguments)


def construct(config: "Config") -> None:
    """Write the dataset and its card, and print what is in it."""
    from synthdata.construction.construct import construct as write
    from synthdata.emission.config import join_job_array
    from synthdata.publishing.complete import complete_dataset
    from synthdata.stores import loading_call

    join_job_array(config)
    written = write(config)
    complete_dataset(written.folder, config.page)
    if written.manifest is None:
        print(f"{written.rows:,} relations written; {written.folder} is completed by the last process to finish")
        return
    told = written.manifest["construction"]
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in told["relations"].items())
    audit = [f"  {name.replace('_', ' ')} {value:,}" for name, value in told["audit"].items()]
    print("\n".join([f"{kinds} between {told['source']['rows']:,} rows of {told['source']['data']}", *audit]))
    if told["audit"].get("lift", LEAST_LIFT) < LEAST_LIFT:
        print(f"  the graph tells little of what is true here: a lift of {told['audit']['lift']}, where 1 is nothing")
    call = loading_call(written.folder, "relations", written.manifest["settings"]["format"])
    print(f"  {call}\nThe dataset is in {written.folder}")
