"""A small IoTDB server in this process, and a real one where TSLOOP_TEST_IOTDB names it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tsloop.sources.iotdb import PASSWORD
from tsloop.testing.iotdb_server import IotdbServer

T0 = 1_700_000_000_000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[IotdbServer]:
    """Two numeric measurements, one of text, and one on another device; milliseconds."""
    monkeypatch.setenv(PASSWORD, "s3cret")
    with IotdbServer(password="s3cret", block_rows=100) as running:
        times = T0 + 1000 * np.arange(1000)
        gap = np.r_[0:400, 700:1000]
        running.add("root.plant.unit1.`FI_1.PV`", times, np.arange(1000.0))
        running.add("root.plant.unit1.`TI_1.PV`", times[gap], gap % 7 / 8, "FLOAT")
        running.add("root.plant.unit1.state", times[:3], np.array(["a", "b", "c"]), "TEXT")
        running.add("root.plant.`unit 2`.on", times[:5], np.array([0, 1, 1, 0, 1]), "BOOLEAN")
        yield running
