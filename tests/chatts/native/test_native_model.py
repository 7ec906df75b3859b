"""The model on tiny checkpoints: caches, padding, beams, scores, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tsloop.chatts.native.tiny import TINY, tiny_config, tiny_model
from tsloop.errors import DetectorError, ModelFileError, NotFittedError

Loaded = Callable[[str], tuple[Any, Any]]
SERIES = "<ts><ts/>"


def answer(model: Any, batch: dict[str, torch.Tensor], **options: Any) -> torch.Tensor:
    """The ids after the prompt."""
    settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None} | options
    settings |= {"temperature": None, "top_k": None, "top_p": None}
    ids: torch.Tensor = model.generate(**batch, **settings)
    return ids[:, batch["input_ids"].shape[1] :]


def rows(processor: Any, series: list[Any]) -> tuple[list[str], list[list[Any]]]:
    """Three prompts with two series, none and one."""
    texts = [processor.chat(f"A {SERIES}, B {SERIES}?"), processor.chat("?"), f"x {SERIES}"]
    return texts, [series[:2], [], [series[0]]]


def flat(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same batch in the official flat layout."""
    values, lengths = batch["timeseries"], batch["ts_lengths"]
    mask = torch.arange(values.shape[-1]) < lengths[..., None]
    pairs = torch.stack([values * mask, mask.float()], dim=-1)[lengths > 0]
    rest = {k: v for k, v in batch.items() if k not in ("timeseries", "ts_lengths")}
    return rest | {"timeseries": pairs.reshape(len(pairs), -1, 1)}


@pytest.mark.parametrize("kind", TINY)
def test_the_series_reach_the_logits(kind: str, loaded: Loaded, series: list[Any]) -> None:
    model, processor = loaded(kind)
    batch = processor(f"{SERIES} ?", [[series[0]]])
    other = batch | {"timeseries": batch["timeseries"].flip(-1)}
    with torch.no_grad():
        assert not torch.allclose(model(**batch).logits, model(**other).logits, atol=1e-2)


@pytest.mark.parametrize("kind", TINY)
def test_generation_is_the_same_without_a_cache(
    kind: str, loaded: Loaded, series: list[Any]
) -> None:
    model, processor = loaded(kind)
    batch = processor(*rows(processor, series))
    assert torch.equal(answer(model, batch), answer(model, batch, use_cache=False))


@pytest.mark.parametrize("kind", TINY)
def test_a_padded_row_answers_as_it_does_alone(
    kind: str, loaded: Loaded, series: list[Any]
) -> None:
    model, processor = loaded(kind)
    texts, lists = rows(processor, series)
    together = answer(model, processor(texts, lists))
    for r, (text, row) in enumerate(zip(texts, lists, strict=True)):
        assert torch.equal(together[r : r + 1], answer(model, processor(text, [row])))


@pytest.mark.parametrize("layout", ["batch first", "flat"])
@pytest.mark.parametrize(
    "options",
    [{"num_beams": 3}, {"num_beams": 3, "num_return_sequences": 2}],
    ids=["beams", "beams and sequences"],
)
def test_beams_keep_every_row_with_its_series(
    options: dict[str, Any], layout: str, loaded: Loaded, series: list[Any]
) -> None:
    model, processor = loaded("8b")
    texts, lists = rows(processor, series)
    batch = processor(texts, lists)
    together = answer(model, flat(batch) if layout == "flat" else batch, **options)
    alone = [answer(model, processor(t, [r]), **options) for t, r in zip(texts, lists, strict=True)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("layout", ["batch first", "flat"])
def test_sampled_sequences_start_from_the_logits_of_their_own_row(
    layout: str, loaded: Loaded, series: list[Any]
) -> None:
    model, processor = loaded("8b")
    batch = processor([f"{SERIES} {SERIES}"] * 2, [series[:2], series[1::-1]])
    given = flat(batch) if layout == "flat" else batch
    torch.manual_seed(0)
    out = model.generate(
        **given,
        max_new_tokens=2,
        num_return_sequences=3,
        do_sample=True,
        output_logits=True,
        return_dict_in_generate=True,
    )
    with torch.no_grad():
        expected = model(**batch).logits[:, -1].repeat_interleave(3, dim=0)
    torch.testing.assert_close(out.logits[0], expected)


def test_flat_and_batch_first_give_the_same_logits(loaded: Loaded, series: list[Any]) -> None:
    model, processor = loaded("8b")
    batch = processor(*rows(processor, series))
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, model(**flat(batch)).logits)


def test_a_conversation_goes_on_from_the_cache(loaded: Loaded, series: list[Any]) -> None:
    model, processor = loaded("8b")
    batch = processor(f"{SERIES} ?", [[series[0]]])
    first = model.generate(
        **batch,
        max_new_tokens=4,
        do_sample=False,
        eos_token_id=None,
        return_dict_in_generate=True,
    )
    longer = torch.cat([first.sequences, torch.tensor([[10, 11, 12]])], dim=1)
    again = batch | {"input_ids": longer, "attention_mask": torch.ones_like(longer)}
    assert torch.equal(
        answer(model, again, past_key_values=first.past_key_values), answer(model, again)
    )


def test_no_attention_mask_means_no_padding(loaded: Loaded, series: list[Any]) -> None:
    model, processor = loaded("llama")
    batch = processor(f"{SERIES}<|im_end|>?", [[series[0]]])
    bare = {key: value for key, value in batch.items() if key != "attention_mask"}
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, model(**bare).logits)


def test_series_tokens_are_never_generated(loaded: Loaded, series: list[Any]) -> None:
    model, processor = loaded("8b")
    torch.manual_seed(0)
    batch = processor(f"{SERIES}", [[series[0]]])
    many = model.generate(
        **batch, max_new_tokens=40, do_sample=True, top_k=0, temperature=5.0, num_return_sequences=8
    )
    new = many[:, batch["input_ids"].shape[1] :]
    assert not torch.isin(new, torch.tensor([processor.ts_start_id, processor.ts_end_id])).any()


def test_labels_on_patches_do_not_count(loaded: Loaded, series: list[Any]) -> None:
    model, processor = loaded("8b")
    batch = processor(f"{SERIES} 123", [[series[0]]])
    ids = batch["input_ids"]
    masked = ids.masked_fill(ids == processor.ts_start_id, -100)
    with torch.no_grad():
        assert torch.equal(model(**batch, labels=ids).loss, model(**batch, labels=masked).loss)


def test_the_encoder_learns(series: list[Any], loaded: Loaded) -> None:
    _, processor = loaded("8b")
    model = tiny_model("8b").train()
    batch = processor(f"{SERIES} 123", [[series[0]]], padding_side="right")
    model(**batch, labels=batch["input_ids"]).loss.backward()
    grads = {name: p.grad for name, p in model.ts_encoder.named_parameters()}
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads.values())


def test_counts_that_differ_are_named(loaded: Loaded, series: list[Any]) -> None:
    model, processor = loaded("8b")
    batch = processor([f"{SERIES}", f"{SERIES}"], [[series[0]], [series[0]]])
    wrong = batch | {"ts_lengths": torch.tensor([[40], [32]])}
    with pytest.raises(DetectorError, match=r"Row 1: .* 4 patches, .* 5 <ts> tokens"):
        model(**wrong)
    with pytest.raises(DetectorError, match="for 1 rows, but input_ids has 2"):
        model(**batch | {k: batch[k][:1] for k in ("timeseries", "ts_lengths")})
    with pytest.raises(DetectorError, match="10 <ts> tokens, but no time series"):
        model(batch["input_ids"])
    with pytest.raises(DetectorError, match="10 <ts> tokens, but no time series"):
        model.generate(batch["input_ids"], max_new_tokens=1)
    with pytest.raises(DetectorError, match="needs input_ids"):
        model(inputs_embeds=torch.zeros(1, 5, 32), timeseries=batch["timeseries"])


def test_hidden_sizes_must_agree() -> None:
    from tsloop.chatts.native.modeling import MODEL_CLASSES

    info = tiny_config("8b")
    info["ts"]["hidden_size"] = 64
    model_class = MODEL_CLASSES["qwen3ts"]
    with pytest.raises(ModelFileError, match=r"ts\.hidden_size is 64"):
        model_class(model_class.config_class.from_dict(info))


def test_a_fresh_encoder_is_xavier() -> None:
    encoder = tiny_model("8b", hidden=64).ts_encoder
    for weight in (encoder.mlp[0].weight, encoder.mlp[4].weight):
        assert weight.std().item() == pytest.approx((2 / sum(weight.shape)) ** 0.5, rel=0.1)
    assert not encoder.mlp[0].bias.any()


@pytest.mark.parametrize("kind", TINY)
def test_states_are_those_of_the_ts_positions(kind: str, loaded: Loaded, series: list[Any]) -> None:
    model, processor = loaded(kind)
    batch = processor(*rows(processor, series))
    with torch.no_grad():
        found = model.ts_states(**batch)
        whole = model(**batch, output_hidden_states=True).hidden_states[-1]
        features, counts = model.ts_encoder(batch["timeseries"], batch["ts_lengths"])
    is_ts = batch["input_ids"] == processor.ts_start_id
    assert found.mask.sum(dim=-1).tolist() == counts.tolist()
    torch.testing.assert_close(found.states[found.mask], whole[is_ts])
    torch.testing.assert_close(found.features[found.mask], features)
    assert not found.states[~found.mask].any()


def test_states_do_not_depend_on_the_batch_or_the_side(loaded: Loaded, series: list[Any]) -> None:
    model, processor = loaded("8b")
    texts, lists = rows(processor, series)
    with torch.no_grad():
        for bidirectional in (False, True):
            left, right = (
                model.ts_states(
                    **processor(texts, lists, padding_side=side), bidirectional=bidirectional
                ).states
                for side in ("left", "right")
            )
            torch.testing.assert_close(left, right)
            alone = model.ts_states(
                **processor(texts[0], lists[:1]), bidirectional=bidirectional
            ).states
            torch.testing.assert_close(left[:1], alone)


def test_both_directions_reach_within_a_series_and_no_further(
    loaded: Loaded, series: list[Any]
) -> None:
    model, processor = loaded("8b")
    batch = processor(f"{SERIES} {SERIES}", [[series[0], series[0]]])
    changed = {key: value.clone() for key, value in batch.items()}
    changed["timeseries"][0, 1, -1] += 1.0  # the last patch of the second series

    def moved(bidirectional: bool) -> list[list[bool]]:
        with torch.no_grad():
            one = model.ts_states(**batch, bidirectional=bidirectional).states
            two = model.ts_states(**changed, bidirectional=bidirectional).states
        return ((one - two).abs().amax(-1)[0] > 1e-6).tolist()  # type: ignore[no-any-return]

    assert moved(False) == [[False] * 5, [False] * 4 + [True]]
    assert moved(True) == [[False] * 5, [True] * 5]


def test_both_directions_need_a_mask_that_can_say_so(loaded: Loaded, series: list[Any]) -> None:
    model, processor = loaded("8b")
    batch = processor(SERIES, [[series[0]]])
    model.config._attn_implementation = "flash_attention_2"
    try:
        with pytest.raises(DetectorError, match="'sdpa' or 'eager'"):
            model.ts_states(**batch, bidirectional=True)
    finally:
        model.config._attn_implementation = "sdpa"


def test_a_score_is_one_logit_per_sample_and_per_label(loaded: Loaded, series: list[Any]) -> None:
    _, processor = loaded("8b")
    model = tiny_model("8b", labels=("spike", "shift", "drift"))
    batch = processor(*rows(processor, series))
    with torch.no_grad():
        out = model.score(**batch)
        again = model.score(**flat(batch), bidirectional=False)
    assert model.score_labels == ("spike", "shift", "drift")
    assert out.row_logits.shape == out.row_mask.shape == (3, 2, 40)
    assert out.label_logits.shape == (3, 2, 5, 3)
    assert out.row_mask.sum(dim=-1).tolist() == batch["ts_lengths"].tolist()
    assert out.patch_mask.sum(dim=-1).tolist() == [[5, 2], [0, 0], [5, 0]]
    assert torch.isfinite(out.row_logits).all()
    assert out.row_logits[out.row_mask].mean().item() == pytest.approx(-3.0, abs=1.0)
    mask = out.row_mask
    torch.testing.assert_close(out.row_logits[mask], again.row_logits[mask])


def test_score_and_generate_share_their_weights(loaded: Loaded, series: list[Any]) -> None:
    _, processor = loaded("8b")
    model = tiny_model("8b", labels=("spike",))
    batch = processor(f"{SERIES} ?", [[series[0]]])
    before = answer(model, batch)
    out = model.score(**batch)
    (out.row_logits.sum() + out.label_logits.sum()).backward()
    assert model.model.layers[0].self_attn.q_proj.weight.grad.abs().sum() > 0
    assert model.ts_encoder.mlp[0].weight.grad.abs().sum() > 0
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(-1)
        assert not torch.allclose(model.score(**batch).row_logits, out.row_logits)
    assert not torch.equal(answer(model, batch), before)


def test_a_score_head_learns_where_a_spike_is(loaded: Loaded) -> None:
    _, processor = loaded("8b")
    rng = np.random.default_rng(0)
    model = tiny_model("8b", labels=("spike",)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)

    def batch() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        noise, places = rng.normal(size=(24, 48)), rng.integers(0, 48, size=24)
        noise[np.arange(24), places] += 8.0
        return processor([SERIES] * 24, list(noise[:, None])), torch.from_numpy(places)

    for _ in range(60):
        inputs, places = batch()
        logits = model.score(**inputs).row_logits[:, 0]
        torch.nn.functional.cross_entropy(logits, places).backward()
        optimizer.step()
        optimizer.zero_grad()
    inputs, places = batch()
    with torch.no_grad():
        found = model.score(**inputs).row_logits[:, 0].argmax(dim=-1)
    assert (found == places).float().mean() > 0.5  # by chance 0.02


def test_the_default_direction_of_a_score_is_a_setting(loaded: Loaded, series: list[Any]) -> None:
    _, processor = loaded("8b")
    model = tiny_model("8b")
    batch = processor(SERIES, [[series[0]]])
    with pytest.raises(NotFittedError, match="no score head"):
        model.score(**batch)
    with pytest.raises(DetectorError, match="Score labels"):
        model.add_score_head(["a", "a"])
    model.add_score_head(["a"], width=8, bidirectional=True)
    with torch.no_grad():
        default, both, causal = (
            model.score(**batch, **options).row_logits
            for options in ({}, {"bidirectional": True}, {"bidirectional": False})
        )
    assert torch.equal(default, both)
    assert not torch.allclose(default, causal)


def test_a_half_precision_model_keeps_its_encoder_in_full(
    checkpoint: Callable[..., Any], loaded: Loaded, series: list[Any]
) -> None:
    from tsloop.chatts.native.checkpoints import load_checkpoint

    _, processor = loaded("8b")
    model = load_checkpoint(checkpoint("8b"), dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert model.ts_encoder.mlp[0].weight.dtype == torch.float32
    assert answer(model, processor(SERIES, [[series[0]]])).shape == (1, 8)
    model.add_score_head(["a"])
    with torch.no_grad():
        logits = model.score(**processor(SERIES, [[series[0]]])).row_logits
    assert logits.dtype == torch.float32
    assert np.isfinite(logits.numpy()).all()
