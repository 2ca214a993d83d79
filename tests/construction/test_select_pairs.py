"""Pairs to be judged: exact against brute force, and worth something only where embeddings tell quality."""

from itertools import combinations

import numpy as np
import pytest

from synthdata.construction.relation import Relation, problem
from synthdata.construction.select_pairs import SelectPairs, nearest_to_centres
from synthdata.construction.table import Table
from synthdata.errors import MisuseError

RULES = ("easy", "centroid", "random", "hard")


def planted(share: float, prompts: int = 1500, candidates: int = 4) -> Table:
    """Candidates whose embedding tells their quality to a ``share`` of its variance, beside the prompt."""
    random = np.random.default_rng(0)
    quality = random.normal(size=(prompts, candidates))
    noise = random.normal(size=(prompts, candidates, 15)) / np.sqrt(15)
    own = np.concatenate([np.sqrt(share) * quality[..., None], np.sqrt(1 - share) * noise], 2)
    vectors = (own + random.normal(size=(prompts, 1, 16)) / 4).reshape(-1, 16)
    return Table.of(
        prompt=np.repeat(np.arange(prompts), candidates),
        embedding=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        reward=quality.ravel(),
    )


def proposed(strategy: SelectPairs, rows: Table, seed: int = 0, start: int = 0) -> list[Relation]:
    return [relation for unit in strategy.propose(rows, seed, start) for relation in unit]


def errors(share: float) -> list[float]:
    """How often a judge errs on the pairs of each rule."""
    rows = planted(share)
    strategies = (SelectPairs(rule=rule) for rule in RULES)
    return [strategy.audit(rows, iter(proposed(strategy, rows)))["error_chosen"] for strategy in strategies]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_where_embeddings_tell_quality_dissimilar_pairs_are_judged_best(share: float):
    easy, centroid, random, hard = errors(share)
    assert easy < centroid < random < hard
    assert hard - easy > 0.1


def test_where_embeddings_tell_no_quality_no_rule_gains():
    assert errors(0.0) == pytest.approx([errors(0.0)[2]] * 4, abs=0.012)


@pytest.mark.parametrize(("rule", "best"), [("easy", min), ("hard", max)])
def test_easy_and_hard_are_the_extremes_by_brute_force(rule: str, best):
    rows = planted(0.5, prompts=40)
    vectors = rows.vectors("embedding")
    found = proposed(SelectPairs(rule=rule), rows)
    assert len(found) == 40
    for prompt, relation in enumerate(found):
        pairs = list(combinations(range(4 * prompt, 4 * prompt + 4), 2))
        expected = best(pairs, key=lambda pair: vectors[pair[0]] @ vectors[pair[1]])
        assert {relation.anchor, *relation.other} == set(expected)


def test_the_centres_are_those_of_the_best_division_of_all():
    vectors = np.random.default_rng(3).normal(size=(6, 3))

    def spread(part: list[int]) -> float:
        return float(((vectors[part] - vectors[part].mean(0)) ** 2).sum())

    halves = [list(part) for size in range(1, 6) for part in combinations(range(6), size)]
    best = min(halves, key=lambda part: spread(part) + spread([row for row in range(6) if row not in part]))

    def middle(part: list[int]) -> int:
        return min(part, key=lambda row: float(((vectors[row] - vectors[part].mean(0)) ** 2).sum()))

    expected = [middle(part) for part in (best, [row for row in range(6) if row not in best])]
    assert nearest_to_centres(vectors) == tuple(sorted(expected))


def test_many_candidates_are_divided_by_k_means():
    vectors = np.concatenate([np.zeros((7, 2)), 9 + np.zeros((7, 2))]) + np.random.default_rng(0).normal(size=(14, 2))
    first, second = nearest_to_centres(vectors)
    assert first < 7 <= second


@pytest.mark.parametrize("rule", ["easy", "hard"])
def test_the_order_of_candidates_does_not_change_the_pair(rule: str):
    rows = planted(0.5, prompts=30)
    order = np.random.default_rng(5).permutation(len(rows))
    shuffled = Table.of(**{name: np.asarray(rows.values(name))[order] for name in ("prompt", "embedding", "reward")})
    there = {frozenset((r.anchor, *r.other)) for r in proposed(SelectPairs(rule=rule), rows)}
    back = {frozenset(order[[r.anchor, *r.other]].tolist()) for r in proposed(SelectPairs(rule=rule), shuffled)}
    assert back == there


def test_the_better_response_is_the_anchor_and_without_rewards_a_pair_has_no_weight():
    rows = planted(0.5, prompts=20)
    rewards = rows.numbers("reward")
    for relation in proposed(SelectPairs(), rows):
        assert rewards[relation.anchor] > rewards[relation.other[0]]
        assert relation.weight == 1
    unjudged = Table.of(prompt=rows.values("prompt"), embedding=rows.values("embedding"))
    assert {relation.weight for relation in proposed(SelectPairs(), unjudged)} == {0}


def test_the_shares_of_easy_and_hard_pairs_divide_the_prompts():
    rows = planted(0.5, prompts=40, candidates=2)
    easy, hard = (proposed(SelectPairs(rule=rule, share=0.5), rows) for rule in ("easy", "hard"))
    assert len(easy) == len(hard) == 20
    assert {relation.anchor // 2 for relation in easy}.isdisjoint(relation.anchor // 2 for relation in hard)
    assert max(relation.score for relation in easy) < min(relation.score for relation in hard)


@pytest.mark.parametrize(("candidates", "share"), [(4, 1.0), (2, 0.5)])
def test_the_effect_of_length_on_similarity_is_told_and_controlled(candidates: int, share: float):
    random = np.random.default_rng(0)
    lengths = random.integers(5, 400, 800)
    shared = np.log1p(lengths)[:, None] * np.array([[1.0, 0, 0, 0, 0, 0]])
    vectors = shared + random.normal(size=(800, 6))
    rows = Table.of(
        prompt=np.arange(800) // candidates, embedding=vectors, response=["x" * int(length) for length in lengths]
    )
    told = {}
    for controlled in (False, True):
        strategy = SelectPairs(control_length=controlled, share=share)
        told[controlled] = strategy.audit(rows, iter(proposed(strategy, rows)))
    assert told[False]["similarity_follows_length"] > 0.3
    assert told[False]["length_chosen"] < 0.96 * told[False]["length_all"]
    assert told[True]["length_chosen"] > 0.97 * told[True]["length_all"]


def test_random_pairs_depend_on_the_seed_and_the_prompt_alone():
    rows = planted(0.5, prompts=300)
    whole = proposed(SelectPairs(rule="random"), rows)
    assert proposed(SelectPairs(rule="random"), rows, start=256) == whole[256:]
    assert proposed(SelectPairs(rule="random"), rows, seed=1) != whole


@pytest.mark.parametrize(
    ("columns", "settings", "words"),
    [
        ({"prompt": ["a", "a", "b"]}, {}, "1 prompts of rows have a single candidate, the first is 'b'"),
        ({"prompt": ["a", "b", "c"]}, {"singles": "skip"}, "3 prompts of rows have a single candidate"),
        ({"question": ["a", "a", "a"]}, {}, "no column prompt, only question, embedding"),
        ({"prompt": [0.5, 0.5, 0.5]}, {}, "row 0, holds 0.5, neither a text nor a whole number"),
        ({"prompt": ["a"] * 3}, {"control_length": True}, "no column response whose length"),
        ({"prompt": ["a"] * 3, "reward": ["good"] * 3}, {}, "row 0, holds 'good', not a number"),
        ({"prompt": ["a"] * 3, "response": [1, 2, 3]}, {}, "row 0, holds 1, not a text"),
    ],
)
def test_rows_that_do_not_fit_are_told(columns: dict, settings: dict, words: str):
    with pytest.raises(MisuseError, match=words):
        proposed(SelectPairs(**settings), Table.of(**columns, embedding=[[1.0], [2.0], [3.0]]))


def test_prompts_with_one_candidate_can_be_skipped():
    rows = Table.of(prompt=["a", "b", "a"], embedding=[[1.0], [2.0], [3.0]])
    assert [(r.anchor, r.other) for r in proposed(SelectPairs(singles="skip"), rows)] == [(0, (2,))]


def test_every_relation_holds():
    rows = planted(0.5, prompts=30)
    assert not any(
        problem(relation, len(rows)) for rule in RULES for relation in proposed(SelectPairs(rule=rule), rows)
    )
