import json
from pathlib import Path

import pytest

from tsloop.errors import LabelSetError
from tsloop.labels import LabelSet, builtin_label_set, load_label_set


def test_the_built_in_set_is_bilingual_and_versioned() -> None:
    labels = builtin_label_set()
    assert labels.ref == "tsloop@1"
    assert "step_up" in labels
    assert labels["step_up"].zh == "阶跃上升"
    assert all(label.zh and label.en and label.color.startswith("#") for label in labels.labels)
    assert {attribute.id for attribute in labels.attributes} == {
        "trend",
        "seasonality",
        "frequency",
        "noise",
    }
    labels.check(labels.ids)


def test_an_unknown_label_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(LabelSetError, match=r"'wobble' is not in label set tsloop@1"):
        builtin_label_set()["wobble"]


def test_a_label_set_file(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    data = {"id": "plant", "version": 2, "labels": [{"id": "x", "zh": "甲", "en": "x"}]}
    path.write_text(json.dumps(data), encoding="utf-8")
    assert load_label_set(path).ref == "plant@2"
    with pytest.raises(LabelSetError, match="does not exist"):
        load_label_set(tmp_path / "none.json")
    path.write_text("{", encoding="utf-8")
    with pytest.raises(LabelSetError, match="is not JSON"):
        load_label_set(path)
    with pytest.raises(LabelSetError, match="is not a label set"):
        LabelSet.from_dict({"id": "x", "labels": []})
    data["labels"] *= 2
    with pytest.raises(LabelSetError, match=r"twice: \['x'\]"):
        LabelSet.from_dict(data)
