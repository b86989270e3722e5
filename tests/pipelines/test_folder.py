"""A folder of anybody's images serves as a dataset, with any tree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset, node_view
from hier.hierarchy import HierError, Tree, load_tree, parse_spec
from hier.pipelines.export import Export, export
from hier.pipelines.folder import open_folder
from PIL import Image


def save(path: Path, seed: int, shape: tuple[int, int] = (40, 60)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*shape, 3), dtype=np.uint8)).save(path)


def test_an_export_reads_back_as_a_dataset(tmp_path: Path) -> None:
    dataset = PatternDataset("atoms", 8, 48, ("p4m", "pmg", "p4"), cells=(4, 9))
    export(Export(dataset, 9, "png", tmp_path))
    folder = open_folder(tmp_path, 48)
    assert folder.labels == ("p4", "p4m", "pmg")
    assert len(folder) == 9
    for label in dataset.groups:
        for k in range(3):
            image = folder.batch([folder.find(label, k)])
            assert folder.label(folder.find(label, k)) == label
            assert float((image - dataset.batch([dataset.find(label, k)])).abs().max()) <= 0.5 / 255 + 1e-6
    view = node_view(folder, load_tree("wallpaper"), "reflection-4")
    assert view.classes == (("p4",), ("p4m",))
    assert [folder.label(view.index(i)) for i in range(4)] == ["p4", "p4m", "p4", "p4m"]


def test_any_labels_with_any_tree_and_images_of_any_shape(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "a.png", 1, (40, 60))
    save(tmp_path / "cat" / "deep" / "b.png", 2, (33, 90))
    save(tmp_path / "dog" / "c.png", 3, (200, 200))
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    folder = open_folder(tmp_path, 64)
    tree = Tree.from_spec(
        parse_spec("{name: pets, root: {name: pet, level: kind, children: {cat: cat, dog: dog}}}", "pets")
    )
    view = node_view(folder, tree, "pet")
    assert [view.label(i) for i in range(4)] == ["cat", "dog", "cat", "dog"]
    assert [view.index(i) for i in range(6)] == [0, 2, 1, 2, 0, 2]
    images = view.batch(range(4))
    assert images.shape == (4, 3, 64, 64)
    assert torch.equal(images[1], images[3])


def test_symbols_of_groups_are_understood_and_bad_folders_are_one_line(tmp_path: Path) -> None:
    save(tmp_path / "p2mg" / "a.png", 1)
    assert open_folder(tmp_path).labels == ("pmg",)
    (tmp_path / "p2mg" / "b.png").write_bytes(b"no png")
    with pytest.raises(HierError, match=r"b\.png: "):
        open_folder(tmp_path).batch([0, 1])
    with pytest.raises(HierError, match="no image in"):
        open_folder(tmp_path / "p2mg" / "nowhere")
