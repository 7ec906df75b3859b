"""The encoder against its formulas, written down a second time in numpy, series by series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import erf

from tsloop.chatts.native.encoder import TimeSeriesEncoder, from_official, group_rows
from tsloop.chatts.native.eras import EncoderLayout
from tsloop.errors import SeriesError

LAYOUTS = {
    "paper": EncoderLayout("paper", 16, 24, 5),
    "0801": EncoderLayout("0801", 8, 24, 5, 16, 512),
    "8b": EncoderLayout("8b", 8, 24, 5, 16, 64),
    "8b with norm": EncoderLayout("8b", 8, 24, 5, 16, 64, layer_norm=True),
}
LENGTHS = (1, 8, 13, 40, 16, 0, 17)


def make(layout: EncoderLayout) -> TimeSeriesEncoder:
    torch.manual_seed(1)
    return TimeSeriesEncoder(layout).double()


def by_hand(
    layout: EncoderLayout, state: dict[str, NDArray[np.float64]], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One series (n,) -> (patches, hidden), from the published description."""
    n, size = len(x), layout.patch_size
    short = -n % size
    if layout.era == "paper":
        rows = np.concatenate([x, np.zeros(short)]).reshape(-1, size)
    else:
        values = np.concatenate([x, np.repeat(x[-1:], short)]).reshape(-1, size)
        table = state["position_embedding.weight"]
        places = [*range(n), *([len(table) - 1] * short)]
        embedded = np.stack([table[p] for p in places]).reshape(len(values), -1)
        rows = np.concatenate([values, embedded], axis=1)
    for layer in range(layout.num_layers):
        rows = rows @ state[f"mlp.{2 * layer}.weight"].T + state[f"mlp.{2 * layer}.bias"]
        if layer < layout.num_layers - 1:
            rows = rows * 0.5 * (1 + erf(rows / np.sqrt(2)))
    if layout.layer_norm:
        centred = rows - rows.mean(1, keepdims=True)
        rows = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
        rows = rows * state["mlp.9.weight"] + state["mlp.9.bias"]
    return rows


def batch(lengths: tuple[int, ...]) -> tuple[list[NDArray[np.float64]], torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(3)
    series = [rng.normal(size=n) for n in lengths]
    values = torch.full((len(series), max(lengths)), 7.0, dtype=torch.float64)
    for row, one in enumerate(series):
        values[row, : len(one)] = torch.from_numpy(one)
    return series, values, torch.tensor(lengths)


@pytest.mark.parametrize("name", LAYOUTS)
def test_features_are_those_of_the_formulas(name: str) -> None:
    layout = LAYOUTS[name]
    encoder = make(layout)
    state = {key: t.numpy() for key, t in encoder.state_dict().items()}
    series, values, lengths = batch(LENGTHS)
    features, counts = encoder(values[None], lengths[None])
    expected = np.concatenate([by_hand(layout, state, one) for one in series if len(one)])
    assert counts.tolist() == [[-(-n // layout.patch_size) for n in LENGTHS]]
    np.testing.assert_allclose(features.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", LAYOUTS)
def test_parameter_names_are_the_official_ones(name: str) -> None:
    layout = LAYOUTS[name]
    names = {f"mlp.{k}.{part}" for k in (0, 2, 4, 6, 8) for part in ("weight", "bias")}
    names |= {"position_embedding.weight"} if layout.max_samples else set()
    names |= {"mlp.9.weight", "mlp.9.bias"} if layout.layer_norm else set()
    assert set(make(layout).state_dict()) == names


@given(lengths=st.lists(st.integers(0, 64), min_size=1, max_size=6).filter(any))
def test_a_series_does_not_depend_on_its_batch(lengths: list[int]) -> None:
    encoder = make(LAYOUTS["8b"])
    series, values, sizes = batch(tuple(lengths))
    together, _ = encoder(values[None], sizes[None])
    alone = [encoder(torch.from_numpy(s)[None, None], torch.tensor([[len(s)]]))[0] for s in series]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_official_flat_layout_gives_the_same(name: str) -> None:
    encoder = make(LAYOUTS[name])
    _, values, lengths = batch(LENGTHS)
    mask = torch.arange(values.shape[1]) < lengths[:, None]
    flat = torch.stack([values * mask, mask.double()], dim=-1).reshape(len(lengths), -1, 1)
    first, counts = encoder(values, lengths)
    second, same = encoder(flat)
    assert torch.equal(first, second)
    assert counts.tolist() == same.tolist()


def test_a_half_precision_mask_is_counted_exactly() -> None:
    flat = torch.ones(1, 2 * 4099, 1, dtype=torch.float16)
    assert from_official(flat)[1].tolist() == [4099]


def test_encoder_runs_in_its_own_dtype() -> None:
    encoder = TimeSeriesEncoder(LAYOUTS["8b"]).to(torch.bfloat16)
    features, _ = encoder(torch.zeros(1, 1, 9), torch.tensor([[9]]))
    assert features.dtype == torch.bfloat16
    encoder = TimeSeriesEncoder(LAYOUTS["8b"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features, _ = encoder(torch.zeros(1, 1, 9), torch.tensor([[9]]))
    assert features.dtype == torch.float32


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_but_in_the_padding(bad: float) -> None:
    encoder = make(LAYOUTS["8b"])
    values = torch.tensor([[[1.0, 2.0, bad]]])
    encoder(values, torch.tensor([[2]]))
    with pytest.raises(SeriesError, match="not finite"):
        encoder(values, torch.tensor([[3]]))


def test_a_series_longer_than_the_table_is_refused() -> None:
    encoder = make(LAYOUTS["8b"])
    encoder(torch.zeros(1, 1, 64), torch.tensor([[64]]))
    with pytest.raises(SeriesError, match="65 samples; this model's table of positions ends at 64"):
        encoder(torch.zeros(1, 1, 65), torch.tensor([[65]]))


@pytest.mark.parametrize(
    ("shape", "lengths"), [((1, 2, 4), [[1]]), ((1, 1, 4), [[5]]), ((1, 1, 4), [[-1]])]
)
def test_lengths_that_do_not_fit_are_refused(shape: Any, lengths: Any) -> None:
    with pytest.raises(SeriesError, match=r"[Ll]engths"):
        make(LAYOUTS["8b"])(torch.zeros(shape), torch.tensor(lengths))


def test_no_series_at_all_gives_no_features() -> None:
    features, counts = make(LAYOUTS["8b"])(torch.zeros(1, 1, 4), torch.tensor([[0]]))
    assert (features.shape, counts.tolist()) == ((0, 24), [[0]])


def test_flat_series_find_their_rows_by_the_tokens() -> None:
    values = torch.arange(4.0)[:, None].expand(4, 9)
    grouped, lengths = group_rows(values, torch.tensor([8, 9, 1, 3]), 8, torch.tensor([3, 0, 1, 1]))
    assert lengths.tolist() == [[8, 9], [0, 0], [1, 0], [3, 0]]
    assert grouped[..., 0].tolist() == [[0, 1], [0, 0], [2, 0], [3, 0]]


@pytest.mark.parametrize("tokens", [[2, 2], [1, 4], [2, 1], [4, 1]])
def test_flat_series_that_straddle_rows_are_refused(tokens: list[int]) -> None:
    lengths = torch.tensor([8, 16])  # 1 and 2 patches
    with pytest.raises(SeriesError, match="patches"):
        group_rows(torch.zeros(2, 16), lengths, 8, torch.tensor(tokens))
