"""Merge patches, as RFC 7386 has them."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.merge_patch import merge_patch

APPENDIX_A = """
{"a":"b"}        | {"a":"c"}                      | {"a":"c"}
{"a":"b"}        | {"b":"c"}                      | {"a":"b","b":"c"}
{"a":"b"}        | {"a":null}                     | {}
{"a":"b","b":"c"}| {"a":null}                     | {"b":"c"}
{"a":["b"]}      | {"a":"c"}                      | {"a":"c"}
{"a":"c"}        | {"a":["b"]}                    | {"a":["b"]}
{"a":{"b":"c"}}  | {"a":{"b":"d","c":null}}       | {"a":{"b":"d"}}
{"a":[{"b":"c"}]}| {"a":[1]}                      | {"a":[1]}
["a","b"]        | ["c","d"]                      | ["c","d"]
{"a":"b"}        | ["c"]                          | ["c"]
{"a":"foo"}      | null                           | null
{"a":"foo"}      | "bar"                          | "bar"
{"e":null}       | {"a":1}                        | {"e":null,"a":1}
[1,2]            | {"a":"b","c":null}             | {"a":"b"}
{}               | {"a":{"bb":{"ccc":null}}}      | {"a":{"bb":{}}}
"""


@pytest.mark.parametrize("row", APPENDIX_A.strip().splitlines())
def test_the_rfcs_own_examples(row: str) -> None:
    target, patch, result = (json.loads(cell) for cell in row.split("|"))
    assert merge_patch(target, patch) == result


def plain(keys: str) -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from("xy")
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(keys), inner, max_size=3),
        max_leaves=8,
    )


VALUES = plain("abc")


def by_the_rfc(target: Any, patch: Any) -> Any:
    """Section 2, line by line."""
    if isinstance(patch, dict):
        if not isinstance(target, dict):
            target = {}
        for name, value in patch.items():
            if value is None:
                if name in target:
                    del target[name]
            else:
                target[name] = by_the_rfc(target.get(name), value)
        return target
    return patch


@given(VALUES, VALUES)
def test_any_patch_does_what_the_rfcs_pseudo_code_does_and_changes_nothing_it_is_given(target: Any, patch: Any) -> None:
    before = copy.deepcopy((target, patch))
    assert merge_patch(target, patch) == by_the_rfc(copy.deepcopy(target), copy.deepcopy(patch))
    assert (target, patch) == before


@given(VALUES, VALUES)
def test_a_patch_applied_twice_is_a_patch_applied_once(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
