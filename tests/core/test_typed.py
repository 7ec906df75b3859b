import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest

from tsloop.errors import ConfigError
from tsloop.typed import from_mapping


@dataclass(frozen=True)
class Inner:
    rank: int = 8
    rate: float = 0.1


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    tags: list[str] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    limit: int | None = None
    anything: Any = None


def test_round_trip() -> None:
    values = {
        "name": "x",
        "inner": {"rank": 4, "rate": 1},
        "tags": ["a"],
        "weights": {"a": 2},
        "limit": 3,
        "anything": [1, {}],
    }
    built = from_mapping(Outer, values, "outer")
    assert built.inner == Inner(4, 1.0)
    assert isinstance(built.inner.rate, float)
    assert from_mapping(Outer, dataclasses.asdict(built), "outer") == built
    assert from_mapping(Outer, {"name": "x", "inner": Inner(1)}, "outer").inner.rank == 1
    assert from_mapping(Outer, {"name": "x", "limit": None}, "outer").limit is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "x", "iner": {}}, r"Unknown key o\.iner\. Did you mean o\.inner\?"),
        ({"name": "x", "zzzz": 1}, r"Unknown key o\.zzzz\. Known keys"),
        ({"name": "x", "inner": {"rank": "8"}}, r"o\.inner\.rank must be int, but is '8'"),
        ({"name": "x", "inner": {"rank": True}}, r"o\.inner\.rank must be int, but is True"),
        ({"name": "x", "inner": 3}, r"o\.inner must be a mapping"),
        ({"name": "x", "tags": "a"}, r"o\.tags must be a list"),
        ({"name": "x", "tags": [1]}, r"o\.tags\[0\] must be str"),
        ({"name": "x", "weights": [1]}, r"o\.weights must be a mapping"),
        ({"name": None}, r"o\.name must be str, but is None"),
        ({}, r"o is incomplete"),
    ],
)
def test_faults_name_the_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_mapping(Outer, values, "o")
