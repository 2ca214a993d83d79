"""Hard negatives: which rows are chosen, which are suspected, and what the correction is worth."""

import numpy as np
import pytest

from synthdata.construction.hard_negatives import HardNegatives, corrected_weights
from synthdata.construction.relation import Relation, problem
from synthdata.construction.table import Table
from synthdata.errors import MisuseError


def proposed(strategy: HardNegatives, rows: Table, seed: int = 0, start: int = 0) -> list[Relation]:
    return [relation for unit in strategy.propose(rows, seed, start) for relation in unit]


def audited(strategy: HardNegatives, rows: Table, truth: Table | None = None) -> dict[str, float]:
    return strategy.audit(rows, iter(proposed(strategy, rows)), truth)


def clusters(rows: int = 300, classes: int = 3, spread: float = 0.5, dimension: int = 8) -> Table:
    """Rows around the centres of classes, with their class; a wide spread leaves nothing of the classes."""
    random = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    vectors = 4 * np.eye(classes, dimension)[labels] + spread * random.normal(size=(rows, dimension))
    return Table.of(embedding=vectors, label=labels)


def planted_graph(informative: bool) -> tuple[Table, Table]:
    """Triples "same as" inside clusters of ten, and 30 % of them hidden; or as many between rows at random."""
    random = np.random.default_rng(1)
    size, count = 10, 20
    edges = [(a, b) for c in range(count) for a in range(c * size, (c + 1) * size) for b in range(c * size, a)]
    if not informative:
        edges = [(int(a), int(b)) for a, b in random.integers(0, size * count, (len(edges), 2)) if a != b]
    ways = (1, -1) if informative else (1,)  # of a fact at random, the way back would give the way there away
    both = [(str(a), "same as", str(b)) for edge in edges for a, b in (edge[::way] for way in ways)]
    hidden = random.random(len(both)) < 0.3
    vectors = np.repeat(random.normal(size=(count, 6)), size, 0) + 0.8 * random.normal(size=(size * count, 6))
    seen, held = ([triple for triple, away in zip(both, hidden, strict=True) if away == told] for told in (False, True))
    heads, relations, tails = (list(column) for column in zip(*seen, strict=True))
    rows = Table.of(
        head=heads,
        relation=relations,
        tail=tails,
        query=vectors[[int(head) for head in heads]],
        embedding=vectors[[int(tail) for tail in tails]],
    )
    names = zip(("head", "relation", "tail"), zip(*held, strict=True), strict=True)
    return rows, Table.of(**{name: list(column) for name, column in names})


def test_negatives_are_the_nearest_rows_by_brute_force():
    rows = clusters(rows=60)
    vectors = rows.vectors("embedding")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -2)
    found = proposed(HardNegatives(k=4), rows)
    for anchor in range(60):
        mine = [relation for relation in found if relation.anchor == anchor]
        assert [relation.other[0] for relation in mine] == np.argsort(-similarity[anchor])[:4].tolist()
        assert [relation.score for relation in mine] == pytest.approx(np.sort(similarity[anchor])[::-1][:4], abs=1e-5)


def test_with_a_column_of_queries_scores_are_products():
    rows = Table.of(embedding=np.array([[1.0, 0], [9, 1], [0, 3]]), query=np.array([[0, 1.0]] * 3))
    assert [(r.anchor, r.other[0], r.score) for r in proposed(HardNegatives(k=1), rows)] == [
        (0, 2, 3.0),
        (1, 2, 3.0),
        (2, 1, 1.0),
    ]


def test_of_equally_near_rows_the_first_is_taken():
    rows = Table.of(embedding=np.ones((6, 2)))
    assert [relation.other[0] for relation in proposed(HardNegatives(k=2), rows)][:6] == [1, 2, 0, 2, 0, 1]


def test_relations_depend_on_rows_and_seed_and_not_on_where_a_process_begins():
    rows = clusters(rows=600)
    for proposal in ("hard", "uniform"):
        strategy = HardNegatives(k=2, proposal=proposal)
        whole = proposed(strategy, rows)
        assert proposed(strategy, rows) == whole
        assert proposed(strategy, rows, start=256) == whole[512:]
    assert proposed(strategy, rows, seed=1) != whole


def test_planted_classes_make_hard_negatives_false_and_a_control_without_classes_does_not():
    planted, control = (audited(HardNegatives(k=5), clusters(spread=spread)) for spread in (1.0, 1000.0))
    assert planted["false_negative_rate_uniform"] == pytest.approx(99 / 299, abs=1e-5)
    assert planted["times_uniform"] > 2.5
    assert control["times_uniform"] == pytest.approx(1, abs=0.15)


def test_uniform_negatives_are_false_as_often_as_expected():
    told = audited(HardNegatives(k=20, proposal="uniform"), clusters())
    assert told["times_uniform"] == pytest.approx(1, abs=0.05)


def test_a_planted_graph_tells_false_negatives_and_a_random_one_does_not():
    for informative in (True, False):
        rows, truth = planted_graph(informative)
        told = audited(HardNegatives(k=5), rows, truth)
        if informative:
            assert told["times_uniform"] > 5
            assert told["lift"] > 10
            assert told["suspected_precision"] > 0.9
            assert told["suspected_recall"] == 1
        else:
            assert told["lift"] < 2
            assert told["suspected_precision"] < 0.1


def test_dropping_or_weighing_suspected_facts_lowers_the_rate_of_false_negatives():
    rows, truth = planted_graph(informative=True)
    kept, dropped = (audited(HardNegatives(k=5, suspected=what), rows, truth) for what in ("keep", "drop"))
    corrected = audited(HardNegatives(k=5, tau=0.3), rows, truth)
    assert dropped["false_negative_rate"] == 0
    assert corrected["false_negative_rate_weighted"] < kept["false_negative_rate_weighted"] / 1.5


def test_known_tails_of_the_same_head_and_relation_are_no_negatives():
    rows, _ = planted_graph(informative=True)
    heads, tails = rows.texts("head"), rows.texts("tail")
    known = set(zip(heads, tails, strict=True))
    found = proposed(HardNegatives(k=10), rows)
    assert len(found) == 10 * len(rows)
    assert not any((heads[relation.anchor], tails[relation.other[0]]) in known for relation in found)


def test_weights_give_the_mean_over_the_true_negatives_exactly():
    suspected = np.array([True, False, False, True, False])
    values = np.array([5.0, 1.0, 2.0, 3.0, 4.0])
    weights = corrected_weights(suspected, tau=2 / 5)
    assert weights @ values / 5 == pytest.approx(values[~suspected].mean(), abs=1e-12)
    assert weights.sum() == pytest.approx(5)
    assert corrected_weights(np.zeros(3, bool), 0.4).tolist() == [1, 1, 1]
    assert (corrected_weights(suspected, tau=0.9) >= 0).all()


def test_a_taxonomy_of_classes_is_a_graph_beside_the_rows():
    rows = clusters(rows=30, spread=1.0)
    rows = Table.of(embedding=rows.vectors("embedding"), label=[f"class {label}" for label in rows.values("label")])
    edges = Table.of("taxonomy", head=["class 0", "class 1", "class 2"], tail=["animal", "animal", "thing"])
    rows = Table("rows", rows.columns, rows.ids, len(rows), edges=edges)
    for relation in proposed(HardNegatives(k=3, node="label", max_distance=2), rows):
        ends = {rows.values("label")[row] for row in (relation.anchor, *relation.other)}
        assert relation.suspected_fact == (ends == {"class 0", "class 1"})


@pytest.mark.parametrize(
    ("columns", "edges", "settings", "words"),
    [
        ({"vectors": [[0.0]] * 9}, None, {}, "rows has no column embedding, only vectors"),
        ({"embedding": ["a"] * 9}, None, {}, "row 0, holds 'a', not a vector of numbers"),
        ({"embedding": [[1.0]] * 8 + [[1.0, 2.0]]}, None, {}, r"row 8, holds \[1.0, 2.0\], not a vector"),
        ({"embedding": [[1.0]] * 8 + [[float("nan")]]}, None, {}, "row 8, holds a value that is not finite"),
        ({"embedding": [[1.0]] * 3}, None, {"k": 3}, "k is 3, and rows has 3 rows to choose from: lower --k"),
        ({"embedding": [[1.0]] * 9, "query": [[1.0, 2.0]] * 9}, None, {}, "have 2 and 1 numbers a row"),
        ({"embedding": [[1.0]] * 9}, [("3", "12")], {}, "edges names 12, which is no row of rows"),
        ({"embedding": [[1.0]] * 9, "kind": ["x"] * 9}, [("3", "4")], {"node": "kind"}, "edges has no node x"),
    ],
)
def test_rows_that_do_not_fit_are_told(columns: dict, edges: list | None, settings: dict, words: str):
    rows = Table.of(**columns)
    if edges:
        heads, tails = (list(ends) for ends in zip(*edges, strict=True))
        rows = Table("rows", rows.columns, rows.ids, len(rows), edges=Table.of("edges", head=heads, tail=tails))
    with pytest.raises(MisuseError, match=words):
        proposed(HardNegatives(**settings), rows)


def test_every_relation_holds():
    rows, _ = planted_graph(informative=True)
    assert not any(problem(relation, len(rows)) for relation in proposed(HardNegatives(tau=0.1), rows))
