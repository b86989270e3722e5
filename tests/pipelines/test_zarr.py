"""Images in Zarr stores: what is shown, with which length, and what is not unpacked."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hier.pipelines.reading.images import ImageError, open_picture, read
from hier.pipelines.reading.names import image_names
from hier.pipelines.reading.picture import Reading
from hier.pipelines.reading.pixel_size import PixelSize

zarr = pytest.importorskip("zarr")
GREY = np.random.default_rng(0).integers(0, 4000, (70, 96), dtype=np.uint16)


def pyramid(path: Path, version: int, units: tuple[str, str] = ("nanometer", "nanometer"), planes: int = 1) -> None:
    """An image as OME-NGFF has it: axes c, y, x, and a coarser copy of it."""
    root = zarr.open_group(str(path), mode="w", zarr_format=version)
    root.create_array("0", data=np.stack([GREY] * planes), chunks=(1, 32, 32))
    root.create_array("1", data=np.stack([GREY[::2, ::2]] * planes), chunks=(1, 32, 32))
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": u} for n, u in zip("yx", units))]  # noqa: B905
    scales = [[{"type": "scale", "scale": [1, s, s]}] for s in (0.5, 1.0)]
    datasets = [{"path": str(k), "coordinateTransformations": s} for k, s in enumerate(scales)]
    told = [{"axes": axes, "datasets": datasets}]
    root.attrs.update({"multiscales": told} if version == 2 else {"ome": {"version": "0.5", "multiscales": told}})


@pytest.mark.parametrize("version", [2, 3])
def test_the_finest_of_a_pyramid_is_shown_with_its_length(version: int, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    pyramid(store, version)
    found = open_picture(store)
    assert (np.squeeze(found.array) == GREY).all()
    assert found.pixel_size == PixelSize(0.5, "nm")
    coarse = open_picture(f"{store}::/1")
    assert np.squeeze(coarse.array).shape == (35, 48)
    assert coarse.pixel_size == PixelSize(1.0, "nm")
    pyramid(store, version, ("nanometer", "micrometer"))
    assert open_picture(store).pixel_size is None


def test_planes_are_told_and_chosen(tmp_path: Path) -> None:
    pyramid(tmp_path / "a.zarr", 2, planes=2)
    with pytest.raises(ImageError, match="a stack; give --page N"):
        open_picture(tmp_path / "a.zarr")
    assert (open_picture(tmp_path / "a.zarr", Reading.of(page=2)).array == GREY).all()


@pytest.mark.parametrize("version", [2, 3])
def test_one_array_alone_is_the_image(version: int, tmp_path: Path) -> None:
    zarr.save_array(str(tmp_path / "a.zarr"), GREY, zarr_format=version)
    assert (open_picture(tmp_path / "a.zarr").array == GREY).all()
    with pytest.raises(ImageError, match="the store is one array"):
        open_picture(f"{tmp_path}/a.zarr::/b")


def test_the_signal_of_hyperspy_is_shown_with_its_length(tmp_path: Path) -> None:
    root = zarr.open_group(str(tmp_path / "a.zspy"), mode="w", zarr_format=2)  # as rosettasciio lays it out
    signal = root.create_group("Experiments/scan")
    signal.create_array("data", data=GREY)
    signal.create_group("learning_results").create_array("loadings", data=np.zeros(5))
    for k in (0, 1):
        signal.create_group(f"axis-{k}").attrs.update({"scale": 0.2, "units": "nm", "navigate": False})
    found = open_picture(tmp_path / "a.zspy")
    assert (found.array == GREY).all()
    assert found.pixel_size == PixelSize(0.2, "nm")


def test_a_store_in_a_folder_is_one_image(tmp_path: Path) -> None:
    pyramid(tmp_path / "scans" / "b.zarr", 3)
    pyramid(tmp_path / "scans" / "deep" / "a.ZARR", 2)
    (tmp_path / "scans" / "c.png").write_bytes(b"")
    skipped: Counter[str] = Counter()
    names = list(image_names([f"{tmp_path}/scans", f"{tmp_path}/**/*.zarr"], io.StringIO(), False, skipped))
    assert [Path(name).name for name in names] == ["b.zarr", "c.png", "a.ZARR", "b.zarr"]
    assert not skipped
    assert read(names[0]).image.shape == (3, 70, 96)


class Marks:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_pickles_are_not_unpacked(place: str, tmp_path: Path) -> None:
    import pickle

    zarr.save_array(str(tmp_path / "a.zarr"), GREY, zarr_format=2)
    about = json.loads((tmp_path / "a.zarr/.zarray").read_text())
    about[place] = [{"id": "pickle"}] if place == "filters" else {"id": "pickle"}
    (tmp_path / "a.zarr/.zarray").write_text(json.dumps(about))
    (tmp_path / "a.zarr/0.0").write_bytes(pickle.dumps(Marks(tmp_path / "mark")))
    with pytest.raises(ImageError, match=r"packed by 'pickle', which is not used|file may be damaged"):
        open_picture(tmp_path / "a.zarr")
    assert not (tmp_path / "mark").exists()


def test_only_known_codecs_are_used(tmp_path: Path) -> None:
    zarr.save_array(str(tmp_path / "a.zarr"), GREY, zarr_format=2)
    about = json.loads((tmp_path / "a.zarr/.zarray").read_text())
    about["filters"] = [{"id": "fixedscaleoffset", "offset": 0, "scale": 1, "dtype": "<u2", "astype": "<u2"}]
    (tmp_path / "a.zarr/.zarray").write_text(json.dumps(about))
    with pytest.raises(ImageError, match="packed by 'fixedscaleoffset', which is not used: blosc, "):
        open_picture(tmp_path / "a.zarr")


def test_damaged_stores_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.zarr").mkdir()
    pyramid(tmp_path / "many.zarr", 2)
    (tmp_path / "many.zarr/.zattrs").unlink()
    pyramid(tmp_path / "cut.zarr", 3)
    (tmp_path / "cut.zarr/0/zarr.json").write_text('{"zarr_format": 3')
    pyramid(tmp_path / "huge.zarr", 2)
    about = json.loads((tmp_path / "huge.zarr/0/.zarray").read_text())
    (tmp_path / "huge.zarr/0/.zarray").write_text(json.dumps(about | {"chunks": [1, 10**6, 10**6]}))
    said = {}
    for name in ("empty", "many", "cut", "huge"):
        with pytest.raises(ImageError) as caught:
            open_picture(tmp_path / f"{name}.zarr")
        said[name] = str(caught.value)
    assert "is no Zarr store" in said["empty"]
    assert "name the array after the store" in said["many"]
    assert "in memory" in said["huge"]
    assert not any("\n" in line for line in said.values())
