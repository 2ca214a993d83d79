"""A knowledge-graph embedding of `pykeen`, trained on constructed negatives; filtered MRR and hits@10.

Reads triples as columns `head`, `relation` and `tail`, and negatives of the training triples with copies of their rows:

    synthdata construct hard_negatives --source train.parquet --encoder triples --k 8 --embed_rows true \\
        --output out/negatives
    python recipes/interop/pykeen_negatives.py distmult 30 0 1 2    # or transe; epochs, and the seeds
"""

import sys

import numpy as np
import pandas
import torch
import torch.nn.functional as F
from datasets import load_dataset
from pykeen.evaluation import RankBasedEvaluator
from pykeen.models import DistMult, TransE
from pykeen.triples import TriplesFactory

name, epochs, seeds = sys.argv[1], int(sys.argv[2]), [int(seed) for seed in sys.argv[3:]]
train = TriplesFactory.from_labeled_triples(pandas.read_parquet("train.parquet").to_numpy(str))
test = TriplesFactory.from_labeled_triples(
    pandas.read_parquet("test.parquet").to_numpy(str),
    entity_to_id=train.entity_to_id,
    relation_to_id=train.relation_to_id,
)
relations = load_dataset("out/negatives", "relations", split="train").to_pandas()
entity, relation = train.entity_to_id, train.relation_to_id
columns = [
    relations["anchor_head"].map(entity),
    relations["anchor_relation"].map(relation),
    relations["anchor_tail"].map(entity),
    relations["other_tail"].str[0].map(entity),
]
rows = torch.tensor(np.stack(columns, 1))
weights = torch.tensor(relations["weight"].to_numpy(), dtype=torch.float)


def scores_of(seed):
    """MRR and hits@10 of a model that was trained on the negatives."""
    model = {"distmult": DistMult, "transe": TransE}[name](triples_factory=train, embedding_dim=50, random_seed=seed)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(rows), generator=generator).split(2048):
            head, kind, tail, negative = rows[batch].unbind(1)
            true = model.score_hrt(torch.stack([head, kind, tail], 1))[:, 0]
            false = model.score_hrt(torch.stack([head, kind, negative], 1))[:, 0]
            loss = (weights[batch] * F.softplus(1 + false - true)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            model.post_parameter_update()
    results = RankBasedEvaluator().evaluate(
        model,
        test.mapped_triples,
        additional_filter_triples=[train.mapped_triples],
        batch_size=256,
        use_tqdm=False,
        targets=["tail"],
    )
    return results.get_metric("mrr"), results.get_metric("hits_at_10")


scores = np.array([scores_of(seed) for seed in seeds])
spread = scores.std(0, ddof=1) if len(seeds) > 1 else np.full(2, np.nan)
told = [f"{of} {mean:.4f} ± {by:.4f}" for of, mean, by in zip(("mrr", "hits@10"), scores.mean(0), spread, strict=True)]
print(f"{', '.join(told)}, {len(seeds)} seeds")
