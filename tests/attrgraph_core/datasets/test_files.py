"""Data of files: torchvision's, Hugging Face's and folders of images, made here small; nothing is downloaded."""

import pickle
import sys

import datasets
import numpy as np
import pytest
from PIL import Image

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.data import load_data

PIXELS = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16


def grey(label):
    return Image.fromarray(PIXELS + np.uint8(label))


def write_images(folder, count):
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            grey(number).save(folder / name / f"{number}.png")


def write_cifar(root):
    """CIFAR10's files with three and two samples; its checksums are those of the real ones."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for name, count in (*((f"data_batch_{part}", 3) for part in range(1, 6)), ("test_batch", 2)):
        pixels = np.full((count, 3072), 51, dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": list(range(count))}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))


def test_torchvision_reads_files_that_are_there(tmp_path, monkeypatch):
    write_cifar(tmp_path)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5: True)
    data = load_data("torchvision", {"name": "CIFAR10", "root": str(tmp_path)})
    assert data.train_inputs.shape == (15, 3, 32, 32)
    assert data.train_inputs.unique().tolist() == [pytest.approx(0.2)]
    assert (data.train_labels.bincount().tolist(), data.test_labels.tolist()) == ([5, 5, 5], [0, 1])
    small = load_data("torchvision", {"name": "CIFAR10", "root": str(tmp_path), "size": 8, "channels": 1})
    assert small.input_shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "MNIST"}, r"torchvision's MNIST cannot be read from .*; nothing is downloaded here"),
        ({"name": "SVHN"}, r"torchvision's SVHN cannot be read from"),
        ({"name": "mnist"}, r"torchvision has no data set 'mnist'; it has .*MNIST"),
        ({"name": "FakeData"}, r"FakeData has no training and test set; give it as package\.module:function"),
    ],
)
def test_torchvision_names_what_is_missing(tmp_path, arguments, message):
    with pytest.raises(AttrGraphError, match=message):
        load_data("torchvision", {"root": str(tmp_path), **arguments})
    assert not list(tmp_path.rglob("*.gz"))


def test_image_folders_with_parts_and_without(tmp_path):
    write_images(tmp_path / "parts" / "train", 3)
    write_images(tmp_path / "parts" / "val", 1)
    data = load_data("image_folder", {"root": str(tmp_path / "parts"), "size": 4, "channels": 1})
    assert (data.input_shape, data.train_labels.tolist(), data.test_labels.tolist()) == (
        (1, 4, 4), [0, 0, 0, 1, 1, 1], [0, 1]
    )  # fmt: skip
    np.testing.assert_allclose(data.train_inputs[0, 0].numpy(), PIXELS / 255, atol=1e-7)
    write_images(tmp_path / "whole", 5)
    whole = load_data("image_folder", {"root": str(tmp_path / "whole"), "size": 8})
    assert (whole.input_shape, len(whole.train_labels), len(whole.test_labels)) == ((3, 8, 8), 8, 2)


def test_image_folders_name_what_is_wrong(tmp_path):
    with pytest.raises(AttrGraphError, match="no images in a folder a class"):
        load_data("image_folder", {"root": str(tmp_path), "size": 4})
    write_images(tmp_path / "train", 1)
    with pytest.raises(AttrGraphError, match="has a folder train, and none of test, val, validation"):
        load_data("image_folder", {"root": str(tmp_path), "size": 4})
    write_images(tmp_path / "test", 1)
    (tmp_path / "test" / "dog").rename(tmp_path / "test" / "fox")
    with pytest.raises(AttrGraphError, match=r"has the classes cat, dog, .*test has cat, fox"):
        load_data("image_folder", {"root": str(tmp_path), "size": 4})


def images(labels):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    return datasets.Dataset.from_dict({"image": [grey(label) for label in labels], "label": labels}, features)


def test_hugging_face_images_on_disk_and_in_parquet(tmp_path):
    parts = datasets.DatasetDict(train=images([0, 1, 1]), test=images([1, 0]))
    parts.save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "files").mkdir()
    for name, part in parts.items():
        part.to_parquet(tmp_path / "files" / f"{name}-00000-of-00001.parquet")
    saved, files = (load_data("huggingface", {"path": str(tmp_path / name)}) for name in ("saved", "files"))
    assert (saved.input_shape, saved.train_labels.tolist(), saved.test_labels.tolist()) == (
        (1, 4, 4), [0, 1, 1], [1, 0]
    )  # fmt: skip
    np.testing.assert_allclose(saved.train_inputs[1, 0].numpy(), (PIXELS + 1) / 255, atol=1e-7)
    assert files.fingerprint == saved.fingerprint


def test_hugging_face_tables_and_vectors(tmp_path):
    table = datasets.Dataset.from_dict(
        {"a": range(10), "b": [0.5] * 10, "both": [[n, 0.5] for n in range(10)], "kind": [0, 1] * 5}
    )
    table.to_parquet(tmp_path / "table.parquet")
    path = str(tmp_path / "table.parquet")
    columns = load_data("huggingface", {"path": path, "inputs": ["a", "b"], "label": "kind"})
    vectors = load_data("huggingface", {"path": path, "inputs": "both", "label": "kind"})
    assert columns.fingerprint == vectors.fingerprint
    assert sorted(columns.train_inputs[:, 0].tolist() + columns.test_inputs[:, 0].tolist()) == list(range(10))
    with pytest.raises(AttrGraphError, match="there is no column 'image'; the data have a, b, both, kind"):
        load_data("huggingface", {"path": path})
    with pytest.raises(AttrGraphError, match=r"cannot read .* as a data set"):
        load_data("huggingface", {"path": str(tmp_path / "absent")})


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("torchvision", "torchvision", "vision"), ("image_folder", "torchvision", "vision"),
     ("huggingface", "datasets", "huggingface")],
)  # fmt: skip
def test_a_library_that_is_not_there_is_named_with_its_extra(tmp_path, monkeypatch, name, module, extra):
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setattr("sys.path_importer_cache", {})
    arguments = {"torchvision": {"name": "MNIST", "root": ""}, "image_folder": {"root": "", "size": 4}}
    with pytest.raises(AttrGraphError, match=rf"'{module}' is not installed; pip install 'attrgraph\[{extra}\]'"):
        load_data(name, arguments.get(name, {"path": str(tmp_path)}))
