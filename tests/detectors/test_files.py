from __future__ import annotations

import json

import pytest

from tsloop.detectors import build, config_of
from tsloop.detectors.files import MANIFEST, load_detector, read_manifest, save_detector
from tsloop.detectors.forest import ForestDetector
from tsloop.detectors.knn import KnnDetector
from tsloop.errors import ModelFileError
from tsloop.files import sha256_file
from tsloop.testing import labelled_examples


@pytest.fixture
def saved(tmp_path):
    detector = build(config_of("knn:neighbours=4"))
    detector.fit(labelled_examples())
    directory = tmp_path / "knn"
    save_detector(detector, directory, extra={"parent": "base", "seed": 3})
    return directory


def change(directory, **fields):
    path = directory / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_the_manifest_says_what_is_there(saved):
    manifest = read_manifest(saved, KnnDetector)
    assert manifest.name == "knn"
    assert manifest.config["neighbours"] == 4
    assert manifest.extra == {"parent": "base", "seed": 3}
    assert manifest.files == {"state.json": sha256_file(saved / "state.json")}
    assert load_detector(saved).decision == manifest.decision


def test_saving_again_replaces_the_whole_directory(saved):
    (saved / "leftover.txt").write_text("old")
    save_detector(load_detector(saved), saved)
    assert sorted(p.name for p in saved.iterdir()) == [MANIFEST, "state.json"]
    assert read_manifest(saved).extra == {}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"schema": "tsloop.detector/9"}, "tsloop.detector/9"),
        ({"target": "os.system"}, "refused"),
        ({"target": "tsloop.detectors.files.DetectorFiles"}, "not a detector"),
        ({"target": "tsloop.detectors.forest.ForestDetector"}, "not a 'knn' one"),
        ({"files": {"../outside.json": "0" * 64}}, "outside its directory"),
        ({"files": {"/etc/hostname": "0" * 64}}, "outside its directory"),
        ({"files": {"state.json": "0" * 64}}, "changed after it was saved"),
        ({"files": {"other.json": "0" * 64}}, "missing"),
        ({"files": 3}, "damaged"),
        ({"decision": {"hi": -1.0}}, "damaged"),
        ({"decision": {"threshold": 1.0}}, "damaged"),
    ],
)
def test_a_strange_manifest_is_refused(saved, fields, said):
    (saved.parent / "outside.json").write_text("{}")
    change(saved, **fields)
    with pytest.raises(ModelFileError) as caught:
        KnnDetector.load(saved)
    assert said in str(caught.value)


def test_a_configuration_that_is_no_longer_valid_is_refused(saved):
    change(saved, config={"neighbors": 4})
    with pytest.raises(ModelFileError, match="neighbours"):
        load_detector(saved)


@pytest.mark.parametrize("content", ["[]", "{", ""])
def test_a_manifest_that_is_not_one_is_refused(saved, content):
    (saved / MANIFEST).write_text(content)
    with pytest.raises(ModelFileError):
        load_detector(saved)


def test_a_link_out_of_the_directory_is_refused(saved):
    outside = saved.parent / "outside.json"
    (saved / "state.json").rename(outside)
    (saved / "state.json").symlink_to(outside)
    with pytest.raises(ModelFileError, match="outside its directory"):
        load_detector(saved)


@pytest.mark.parametrize(
    ("name", "content"),
    [("weights.bin", b"abc"), ("deep/x.pt", b"PK"), ("innocent.json", b"\x80\x04N.")],
)
def test_whatever_may_be_a_pickle_is_refused_on_loading_and_on_saving(saved, name, content):
    path = saved / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="pickle"):
        load_detector(saved)

    class Careless(ForestDetector):
        def save_weights(self, directory):
            target = directory / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)

    with pytest.raises(ModelFileError, match="pickle"):
        save_detector(Careless(), saved.parent / "careless")
    assert not (saved.parent / "careless").exists()


@pytest.mark.parametrize("state", ["[]", "{}", '{"edges": {"zoom": 1}, "labels": {}}'])
def test_a_state_of_another_form_is_refused(saved, state):
    (saved / "state.json").write_text(state)
    change(saved, files={"state.json": sha256_file(saved / "state.json")})
    with pytest.raises(ModelFileError, match="damaged"):
        load_detector(saved)
