from synthdata.data.source import index_labels


def test_labels_are_numbered_alike_in_every_split():
    labels, classes = index_labels({"train": ["b", "c", None], "test": ["a", "b"], "validation": [None]})
    assert classes == ["a", "b", "c"]
    assert labels["train"].tolist() == [1, 2, -1]
    assert labels["test"].tolist() == [0, 1]
    assert labels["validation"] is None


def test_numbers_are_numbered_by_value_and_negative_ones_are_no_labels():
    labels, classes = index_labels({"train": [10, 9, -1, 1_000_000_000]})
    assert classes == ["9", "10", "1000000000"]
    assert labels["train"].tolist() == [1, 0, -1, 2]


def test_no_labels_are_no_classes():
    assert index_labels({"train": [None, None]}) == ({"train": None}, None)
