from typing import Any

from tsloop.config.pipeline import NOTHING_YET, IterationSpec, Unrolled, base_model_of, unroll

VALUES: dict[str, Any] = {
    "annotator": {"kind": "simulated", "miss_rate": 0.1},
    "labels": {"set": "tsloop"},
    "split": {"window": 512},
    "checks": {"drift": "warn"},
    "sampler": {"kind": "mixed"},
    "evaluate": {"seed": 0},
    "gate": {"metric": "event_f1"},
    "loop": {"seed": 0, "primary": "chatts"},
    "variants": {
        "chatts": {"_target_": "a", "finetune": {"rank": 8}},
        "knn": {"_target_": "b", "k": 5},
    },
}


def specs(*names: str) -> dict[str, IterationSpec]:
    parents = ["base", *names]
    return {name: IterationSpec(name, parent) for name, parent in zip(names, parents, strict=False)}


def resolved(unrolled: Unrolled) -> dict[str, Any]:
    """What params.yaml would hold: interpolations of the leaf resolved."""

    def look(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: look(v) for k, v in value.items()}
        if isinstance(value, str) and value.startswith("${"):
            node: Any = VALUES
            for part in value[2:-1].split("."):
                node = node[part]
            return node
        return value

    found = look(vars(unrolled))
    assert isinstance(found, dict)
    return found


def test_only_the_leaf_interpolates() -> None:
    out = unroll(specs("it001", "it002"), VALUES, {})
    assert out.fits["it002-chatts"]["detector"] == "${variants.chatts}"
    assert out.fits["it001-chatts"]["detector"] == VALUES["variants"]["chatts"]
    assert out.fits["it002-chatts"]["parent_model"] == "models/it001/chatts"
    assert out.fits["it001-knn"]["parent_model"] == "models/base/knn"
    assert out.datasets["it001"]["parent_labels"] == NOTHING_YET
    assert out.datasets["it002"]["parent_labels"] == "data/snapshots/it001"
    assert set(out.annotations) == {"gold", "it001", "it002"}
    assert "finetune" not in out.bases["chatts"]["detector"]


def test_a_published_ancestor_keeps_its_values_and_an_unpublished_one_follows() -> None:
    previous = resolved(unroll(specs("it001", "it002"), VALUES, {}))
    changed = {
        **VALUES,
        "variants": {
            **VALUES["variants"],
            "chatts": {"_target_": "a", "finetune": {"rank": 16}},
        },
    }
    frozen = unroll(specs("it001", "it002"), changed, previous, published=frozenset({"it001"}))
    assert frozen.fits["it001-chatts"]["detector"]["finetune"]["rank"] == 8
    assert frozen.bases == previous["bases"]
    fresh = unroll(specs("it001", "it002"), changed, previous)
    assert fresh.fits["it001-chatts"]["detector"]["finetune"]["rank"] == 16


def test_a_published_leaf_stays_open() -> None:
    previous = resolved(unroll(specs("it001"), VALUES, {}))
    out = unroll(specs("it001"), VALUES, previous, published=frozenset({"it001"}))
    assert out.fits["it001-chatts"]["detector"] == "${variants.chatts}"


def test_another_base_gets_another_name_where_old_iterations_need_the_first() -> None:
    previous = resolved(unroll(specs("it001", "it002"), VALUES, {}))
    changed = {**VALUES, "variants": {**VALUES["variants"], "chatts": {"_target_": "bigger"}}}
    out = unroll(specs("it001", "it002"), changed, previous, published=frozenset({"it001"}))
    assert out.bases == previous["bases"], "it002 builds on it001: no other base is needed"
    aside = {**specs("it001", "it002"), "it003": IterationSpec("it003", "base")}
    out = unroll(aside, changed, previous, published=frozenset({"it001"}))
    assert out.bases["chatts"] == previous["bases"]["chatts"]
    assert out.bases["chatts2"]["detector"] == {"_target_": "bigger"}
    assert out.fits["it001-chatts"]["parent_model"] == "models/base/chatts"
    assert out.fits["it003-chatts"]["parent_model"] == "models/base/chatts2"
    assert "base-chatts2" not in out.predictions, "evaluate@it001 depends on data/predictions/base"


def test_a_new_variant_starts_from_its_base() -> None:
    previous = resolved(unroll(specs("it001", "it002"), VALUES, {}))
    more = {**VALUES, "variants": {**VALUES["variants"], "forest": {"_target_": "f"}}}
    out = unroll(specs("it001", "it002"), more, previous, published=frozenset({"it001"}))
    assert out.fits["it002-forest"]["parent_model"] == "models/base/forest"
    assert "it001-forest" not in out.fits
    assert out.bases["forest"]["detector"] == {"_target_": "f"}
    assert "base-forest" not in out.predictions
    assert out.evaluations["it002"]["variants"] == ["chatts", "knn", "forest"]
    assert out.evaluations["it001"] == previous["evaluations"]["it001"]


def test_gold_follows_the_annotator_until_something_is_published() -> None:
    previous = resolved(unroll(specs("it001", "it002"), VALUES, {}))
    assert previous["annotations"]["gold"]["annotator"] == VALUES["annotator"]
    other = {**VALUES, "annotator": {"kind": "simulated", "gold_errors": True}}
    out = unroll(specs("it001", "it002"), other, previous)
    assert out.annotations["gold"]["annotator"] == "${annotator}"
    out = unroll(specs("it001", "it002"), other, previous, published=frozenset({"it001"}))
    assert out.annotations["gold"] == previous["annotations"]["gold"]


def test_people_open_an_iteration_with_their_journal() -> None:
    human = {**VALUES, "annotator": {"kind": "human"}}
    out = unroll(specs("it001", "it002"), human, {}, journals=frozenset({"it001"}))
    assert set(out.datasets) == {"it001"}
    assert out.annotations == {}
    assert out.datasets["it001"]["journal"] == "data/labels/it001.jsonl"
    assert set(out.iterations) == {"it001", "it002"}
    assert set(out.queues) == {"base", "it001"}


def test_an_archived_iteration_leaves_the_graph_but_stays_a_parent() -> None:
    previous = resolved(unroll(specs("it001", "it002"), VALUES, {}))
    archived = {
        "it001": IterationSpec("it001", "base", archived=True, variants=("chatts", "knn")),
        "it002": IterationSpec("it002", "it001"),
    }
    out = unroll(archived, VALUES, previous, published=frozenset({"it001", "it002"}))
    assert set(out.datasets) == {"it002"}
    assert resolved(out)["fits"]["it002-chatts"] == previous["fits"]["it002-chatts"]
    assert out.iterations["it001"]["archived"] is True
    assert out.bases == previous["bases"]


def test_what_a_variant_starts_from() -> None:
    with_base = {"_target_": "a", "base": "embedded", "finetune": {"rank": 8}}
    values = {**VALUES, "variants": {**VALUES["variants"], "chatts": with_base}}
    out = unroll(specs("it001", "it002"), values, {})
    assert out.publications["it001"]["base_model"] == {"chatts": "embedded", "knn": "base/knn"}
    assert out.publications["it002"]["base_model"] == {"chatts": "it001/chatts", "knn": "it001/knn"}
    assert base_model_of({"parent_model": "models/base/x", "detector": with_base}, {}) == "embedded"


def test_the_first_queue_is_literal_as_soon_as_there_is_an_iteration() -> None:
    assert unroll({}, VALUES, {}).queues["base"]["sampler"] == "${sampler}"
    base = unroll(specs("it001"), VALUES, {}).queues["base"]
    assert (base["sampler"], base["variant"]) == (VALUES["sampler"], "chatts")
    followed = unroll(specs("it001"), {**VALUES, "sampler": {"kind": "other"}}, {})
    assert followed.queues["base"]["sampler"] == {"kind": "other"}, "nothing is published"


def test_open_iterations_are_compared_with_the_champion_of_the_time() -> None:
    first = {"model": "it001/knn", "scorecard": "registry/models/a-b.json", "published": True}
    previous = resolved(unroll(specs("it001", "it002"), VALUES, {}))
    assert "champion" not in previous["evaluations"]["it002"]
    published = frozenset({"it001"})
    out = unroll(specs("it001", "it002"), VALUES, previous, published=published, champion=first)
    assert "champion" not in out.evaluations["it001"]
    expected = {"model": "it001/knn", "scorecard": "registry/models/a-b.json", "is_parent": True}
    assert out.evaluations["it002"]["champion"] == expected

    # Published with it: a later champion changes nothing, not even when it is the iteration itself.
    previous, later = resolved(out), {**first, "model": "it002/knn"}
    published = frozenset({"it001", "it002"})
    names = ("it001", "it002", "it003")
    out = unroll(specs(*names), VALUES, previous, published=published, champion=later)
    assert out.evaluations["it002"]["champion"] == expected
    assert out.evaluations["it003"]["champion"] == {**expected, "model": "it002/knn"}
    # Its parent was trained again since then: not the model that was promoted.
    again = {**later, "published": False}
    out = unroll(specs(*names), VALUES, previous, published=published, champion=again)
    assert out.evaluations["it003"]["champion"]["is_parent"] is False
