"""Whatever stands in a JSON or YAML file, reading it ends in the data or in one short line that says what is wrong."""

import json
import os
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import pytest
from msgspec import Meta

from synthdata.data import DataConfig
from synthdata.errors import MAX_LENGTH, FailureError, shortened
from synthdata.formats import FORMAT, check_format
from synthdata.reading import UnsoundError, checked, parse_json, parse_yaml, read_json, read_yaml
from synthdata.views import ViewConfig


class Shard(TypedDict):
    path: str
    rows: Annotated[int, Meta(ge=1, le=2**53)]
    note: NotRequired[float | None]


class Content(TypedDict):
    shards: list[Shard]
    kinds: dict[str, Shard]


def of(**changes: Any) -> str:
    return json.dumps({"shards": [{"path": "a", "rows": 3}], "kinds": {}, **changes})


def test_what_the_type_does_not_name_is_kept():
    text = of(later={"part": [1, None]})
    assert checked(parse_json(text), Content) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (of(shards=[{"path": "a", "rows": "3"}]), 'shards[0].rows is "3": it must be a whole number'),
        (of(shards=[{"path": "a", "rows": True}]), "shards[0].rows is true: it must be a whole number"),
        (of(shards=[{"path": "a", "rows": 3.0}]), "shards[0].rows is 3.0: it must be a whole number"),
        (of(shards=[{"path": "a", "rows": 0}]), "shards[0].rows is 0: it must be a whole number, at least 1"),
        (of(shards=[{"path": "a", "rows": 10**30}]), "shards[0].rows is a number of more than 19 digits"),
        (of(shards=[{"path": "a"}]), "no shards[0].rows"),
        (of(shards={}), "shards is an object of 0 keys: it must be a list"),
        (
            of(kinds={"a": {"path": "a", "rows": 1}, "b": {"path": None, "rows": 1}}),
            "kinds.b.path is null: it must be text",
        ),
        (of(shards=[{"path": "a", "rows": 1, "note": "x"}]), 'shards[0].note is "x": it must be a number or null'),
        (of(shards=[{"path": "a", "rows": 1, "note": float("nan")}]), "shards[0].note is nan, no finite number"),
        ('{"shards": [], "kinds": {}, "x": -1e999}', "x is -inf, no finite number"),
        ('{"shards": 1' + "0" * 5000 + "}", "a number in it has thousands of digits"),
        ('{"shards": [], "shards": []}', "shards is in it twice"),
        (r'{"shards": "\ud800"}', "shards is no text: half a character"),
        ("[" * 65 + "]" * 65, "it is nested more than 64 deep"),
        ("[" * 100_000, "it is nested more than 64 deep"),
        ("{", "no JSON: Expecting property name enclosed in double quotes in line 1, column 2"),
        ("", "no JSON: Expecting value in line 1, column 1"),
        ("[]", "it is a list of 0: it must be names with values"),
    ],
)
def test_json_of_another_shape_names_the_field_and_what_should_be(text: str, told: str):
    with pytest.raises(UnsoundError) as error:
        checked(parse_json(text), Content)
    assert str(error.value) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1, 2", "no YAML: did not find expected ',' or ']' in line 2, column 1"),
        ("a: &x [1]\nb: *x", "it has an alias, *x: write out what it stands for"),
        ("&a [*a]", "it has an alias, *a: write out what it stands for"),
        ("a: 1\nb: {c: 1, c: 2}", "c is in it twice"),
        ("? [1]\n: 2", "no YAML: a name in it is a list or an object"),
        ("- " * 100_000, "it is nested more than 64 deep"),
        ("a: " + "1" * 5000, "a number in it has thousands of digits"),
        ("a: .nan", "a is nan, no finite number"),
        ("a: 1\n--- \nb: 2", "no YAML: but found another document in line 2, column 1"),
        ("x" * 2**21, "it has 2,097,152 characters, more than the 1,048,576 that are read"),
    ],
)
def test_yaml_that_is_no_plain_data_is_told(text: str, told: str):
    with pytest.raises(UnsoundError) as error:
        parse_yaml(text)
    assert str(error.value) == told


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['false']", "!!binary aGk=", "!!set {a}", "!mine 1"])
def test_a_tag_in_yaml_makes_nothing(tag: str):
    with pytest.raises(UnsoundError, match="could not determine a constructor"):
        parse_yaml(f"a: {tag}")


def test_yaml_has_the_numbers_of_settings():
    assert parse_yaml("{a: 1e-3, b: -2, c: .5, d: 2020-01-01, e: ~, f: true, 1: x}") == {
        "a": 0.001, "b": -2, "c": 0.5, "d": "2020-01-01", "e": None, "f": True, "1": "x"
    }  # fmt: skip


def test_a_configuration_is_read_as_its_class_with_its_ranges():
    assert checked({"crop_scale": [0.5, 1]}, ViewConfig) == ViewConfig(crop_scale=(0.5, 1.0))
    for tree, told in (
        ({"limit": 0}, "data.limit is 0: it must be at least 1"),
        ({"source": None}, "data.source is null: it must be text"),
        ({"origin": "digits"}, "there is no setting data.origin"),
        ({"channels": 2}, "data.channels is 2, which is none of its values"),
    ):
        with pytest.raises(UnsoundError) as error:
            checked(tree, DataConfig, "data")
        assert str(error.value) == told


def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path: Path):
    path = tmp_path / "file.json"
    for content, told in (
        (b"\xff\xfe{\0", "no UTF-8 text"),
        (b"\0" * 10, "no JSON"),
        (b'"' + b"x" * 10**6 + b'"', "it is"),
    ):
        path.write_bytes(content)
        with pytest.raises(FailureError, match=rf"^{path} is damaged \({told}.*\): mend it$") as error:
            read_json(path, Content, "mend it")
        assert len(str(error.value)) <= MAX_LENGTH
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FailureError, match="no regular file"):
        read_json(path, Content)
    with path.with_suffix(".yaml").open("wb") as file:
        file.truncate(10 * 2**20)
    with pytest.raises(FailureError, match="10,485,760 bytes, more than"):
        read_yaml(path.with_suffix(".yaml"), Content)
    with pytest.raises(FailureError, match="cannot be read"):
        read_json(tmp_path / ("x" * 5000), Content)
    with pytest.raises(FailureError, match="cannot be read"):
        read_json(Path("a\0b"), Content)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none", Content)


def test_a_manifest_of_a_newer_format_says_what_to_install():
    for number in ({}, {"format": FORMAT}, {"manifest_version": 1}):
        check_format(number)
    for made_with, told in (
        ({"versions": {"synthdata": "9.1.0"}}, "pip install 'synthdata>=9.1.0'"),
        (None, "pip install -U"),
    ):
        with pytest.raises(Exception, match=rf"format {FORMAT + 1}, and this version reads {FORMAT}: {told}"):
            check_format({"format": FORMAT + 1, "made_with": made_with})
    with pytest.raises(UnsoundError, match="format is true"):
        check_format({"format": True})


@pytest.mark.parametrize("text", ["x" * 10**7, "x\n" * 10**6, "\x1b[2J" * 1000, " " * 10**6, "short"])
def test_a_shortened_text_is_one_line_with_both_its_ends(text: str):
    line = shortened(text)
    assert len(line) <= MAX_LENGTH
    assert line.isprintable()
    assert line[:1] in (text[0], "\ufffd", "")
