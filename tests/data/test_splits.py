from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlm.data.splits import assign, named_split, position


@pytest.mark.parametrize(
    ("key", "point"),
    [
        ("", 0.8931675160897388),
        ("asterisk-en-activated", 0.541732743925132),
        ("festvox-ru_0001", 0.011319162341006194),
        ("an4-mjwl", 0.7648581853618721),
        ("fillets-cs-keys-přísně", 0.663108654604076),
    ],
)
def test_positions_are_the_same_for_ever(key: str, point: float) -> None:
    assert position(key) == point


def test_golden_splits() -> None:
    splits = [assign(f"utterance-{i}", dev=0.2, test=0.2) for i in range(12)]
    expected = ["train"] * 3 + ["dev"] * 4 + ["train", "test"] + ["train"] * 3
    assert splits == expected


@given(st.text(), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_larger_share_only_takes_from_train(key: str, dev: float, test: float) -> None:
    split = assign(key, dev, test)
    if split == "dev":
        assert assign(key, 0, test) == "train"
    if split == "train":
        assert assign(key, dev / 2, test / 2) == "train"
    assert assign(key, 0, 0) == "train"


def test_shares_are_met_on_many_keys() -> None:
    splits = [assign(f"speaker {i}", dev=0.1, test=0.2) for i in range(20000)]
    assert splits.count("dev") / 20000 == pytest.approx(0.1, abs=0.01)
    assert splits.count("test") / 20000 == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("an4_test", "test"),
        ("dev-clean-2", "dev"),
        ("Valid", "dev"),
        ("train-clean-100", "train"),
        ("all", None),
        ("latest", None),
        ("training", None),
        ("", None),
    ],
)
def test_a_split_is_read_off_a_name(name: str, split: str | None) -> None:
    assert named_split(name) == split
