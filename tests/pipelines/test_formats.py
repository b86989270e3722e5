"""What instruments, MATLAB and other libraries write: which array is the image, and how long a pixel is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from hier.datasets import PatternDataset
from hier.pipelines.reading.files import read_file
from hier.pipelines.reading.images import ImageError, open_picture, read
from hier.pipelines.reading.picture import Reading
from hier.pipelines.reading.pixel_size import PixelSize, pixel_size_from

import hier

H, W = 40, 56
y, x = np.mgrid[:H, :W]
GREY = np.rint(20000 + 8000 * np.sin(x / 4 + 0.3) + 6000 * np.cos(y / 5) + 90 * x).astype(np.uint16)
SMALL = np.ascontiguousarray(GREY[:33, :35, None].repeat(3, 2) // 256).astype(np.uint8)
Array = np.ndarray[Any, Any]


def sxm(path: Path, direction: str = "down") -> None:
    """A scan of Nanonis with two channels, forward and backward: a text header, then floats in big endian."""
    head = {
        "NANONIS_VERSION": "2", "SCANIT_TYPE": "FLOAT            MSBFIRST", "SCAN_PIXELS": f"{W} {H}",
        "SCAN_RANGE": f"{W * 2e-10:.6E} {H * 2e-10:.6E}", "SCAN_OFFSET": "0 0", "SCAN_ANGLE": "0", "BIAS": "1",
        "SCAN_DIR": direction, "SCAN_TIME": "1 1", "ACQ_TIME": "1",
        "DATA_INFO": "\tChannel\tName\tUnit\tDirection\tCalibration\tOffset\n\t14\tZ\tm\tboth\t1\t0\n"
                     "\t0\tCurrent\tA\tboth\t1\t0\n",
    }  # fmt: skip
    text = "".join(f":{name}:\n{value}\n" for name, value in head.items()) + ":SCANIT_END:\n\n\n"
    heights = GREY.astype(">f4") * 1e-12
    pixels = np.stack([heights, heights[:, ::-1], -heights, -heights[:, ::-1]]).astype(">f4")
    path.write_bytes(text.encode() + b"\x1a\x04" + pixels.tobytes())


@pytest.mark.parametrize("direction", ["down", "up"])
def test_scans_of_nanonis_are_read_forward_with_the_first_line_on_top(direction: str, tmp_path: Path) -> None:
    pytest.importorskip("nanonispy2")
    sxm(tmp_path / "a.sxm", direction)
    found = open_picture(tmp_path / "a.sxm")
    rows = slice(None, None, -1 if direction == "up" else 1)
    assert np.allclose(found.array[rows], GREY * 1e-12, rtol=1e-6)
    assert found.pixel_size == PixelSize(0.2, "nm")
    assert open_picture(tmp_path / "a.sxm", Reading.of(channel="Current")).array[0, 0] < 0
    with pytest.raises(ImageError, match=r"no channel 'Phase'; choose one with --channel: Z, Current"):
        read(tmp_path / "a.sxm", Reading.of(channel="Phase"))


def nid(path: Path) -> None:
    """A scan of Nanosurf, forward and backward: a text header in sections, then integers of 16 bits."""
    own = {
        "Points": W, "Lines": H, "SaveMode": "Binary", "SaveBits": 16, "SaveSign": "Signed", "SaveOrder": "Intel",
        "Dim0Min": 0, "Dim0Range": W * 2e-10, "Dim0Unit": "m", "Dim1Min": 0, "Dim1Range": H * 2e-10, "Dim1Unit": "m",
        "Dim2Min": -1e-6, "Dim2Range": 2e-6, "Dim2Unit": "m", "Dim2Name": "Z-Axis",
    }  # fmt: skip
    sections: dict[str, dict[str, Any]] = {
        "DataSet": {"Version": 2, "GroupCount": 1, "Gr0-Name": "Scan", "Gr0-Count": 2, "Gr0-Ch0": "DataSet-0:0",
                    "Gr0-Ch1": "DataSet-0:1"},
        "DataSet-Info": {"Op. mode": "Static Force"},
        "DataSet-0:0": {"Frame": "Scan forward", **own},
        "DataSet-0:1": {"Frame": "Scan backward", **own},
    }  # fmt: skip
    text = "\r\n".join(f"[{k}]\r\n" + "".join(f"{n}={v}\r\n" for n, v in part.items()) for k, part in sections.items())
    heights = (GREY.astype(int) - 2**15).astype("<i2")
    path.write_bytes(text.encode() + b"\r\n#!" + heights.tobytes() + heights[:, ::-1].tobytes())


def test_scans_of_nanosurf_are_read_forward(tmp_path: Path) -> None:
    library = pytest.importorskip("NSFopen")
    nid(tmp_path / "a.nid")
    found = open_picture(tmp_path / "a.nid")
    assert np.allclose(found.array, GREY / 2**16 * 2e-6 - 1e-6, rtol=1e-6, atol=1e-14)
    assert found.pixel_size == PixelSize(0.2, "nm")
    with pytest.raises(ImageError, match=r"no channel 'Phase'; choose one with --channel: Z-Axis"):
        read(tmp_path / "a.nid", Reading.of(channel="Phase"))
    examples = Path(library.__file__).with_name("example")
    for surface in examples.glob("*/sapphire.nid"):  # an instrument's own, which comes with the library
        found = open_picture(surface)
        assert min(found.array.shape) >= 64
        assert found.array.std() > 0
        assert found.pixel_size is not None


def test_arrays_of_matlab_and_netcdf_are_found(tmp_path: Path) -> None:
    from scipy.io import netcdf_file, savemat

    savemat(tmp_path / "one.mat", {"image": GREY, "scale": 0.2, "name": "gold"})
    assert (open_picture(tmp_path / "one.mat").array == GREY).all()
    savemat(tmp_path / "two.mat", {"one": GREY, "two": np.stack([GREY, GREY[::-1]])})
    with pytest.raises(ImageError, match=r"name the array after the file, as in FILE::name; its arrays: one"):
        read(tmp_path / "two.mat")
    assert (open_picture(f"{tmp_path}/two.mat::one").array == GREY).all()
    assert (open_picture(f"{tmp_path}/two.mat::two", Reading.of(page=2)).array == GREY[::-1]).all()
    with netcdf_file(tmp_path / "a.nc", "w") as file:
        file.createDimension("y", H)
        file.createDimension("x", W)
        file.createVariable("height", "f4", ("y", "x"))[:] = GREY
    assert (open_picture(tmp_path / "a.nc").array == GREY).all()


def test_hdf5_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    for name in ("a.mat", "a.nc", "a.h5oina", "a.odd"):
        with h5py.File(tmp_path / name, "w") as file:
            file["image"], file["table"] = GREY, np.zeros((500, 2))
        assert (open_picture(tmp_path / name).array == GREY).all()
    with h5py.File(tmp_path / "matlab.mat", "w") as file:
        file["image"] = GREY.T
        file["image"].attrs["MATLAB_class"] = np.bytes_("uint16")
    assert (open_picture(tmp_path / "matlab.mat").array == GREY).all()


def test_the_array_that_nexus_and_hyperspy_mean_is_shown(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        file["raw/flat"], file["raw/image"] = GREY[::-1], GREY
        file["entry/data/image"] = h5py.SoftLink("/raw/image")
        file.attrs["default"], file["entry"].attrs["default"] = "entry", "data"
        file["entry/data"].attrs["signal"] = np.bytes_("image")
    for name in ("scan.nxs", "scan.nxs::/entry", "scan.nxs::entry/data"):
        assert (open_picture(f"{tmp_path}/{name}").array == GREY).all()
    for units, wanted in ((("nm", "nm"), PixelSize(0.5, "nm")), (("nm", "µm"), None), (("1/nm", "1/nm"), None)):
        with h5py.File(tmp_path / "a.hspy", "w") as file:
            file["Experiments/scan/data"] = GREY
            for k in (0, 1):
                axis = file.create_group(f"Experiments/scan/axis-{k}")
                axis.attrs["scale"], axis.attrs["units"] = 0.5, units[k]
        found = open_picture(tmp_path / "a.hspy")
        assert (found.array == GREY).all()
        assert found.pixel_size == wanted


@pytest.mark.parametrize(
    ("y", "x", "units", "wanted"),
    [
        (0.5, 0.5, "nm", PixelSize(0.5, "nm")),
        (0.5, -0.5, b"nm", PixelSize(0.5, "nm")),
        (0.5, 0.6, "nm", PixelSize(0.5, "nm")),
        (0.5, 0.5, "deg", None),
        (0.5, 0.5, None, None),
    ],
)
def test_nexus_tells_the_length_by_its_axes(y: float, x: float, units: Any, wanted: Any, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        file["raw/image"], file["entry/y"] = GREY, np.arange(GREY.shape[0], dtype=np.float32) * y + 3
        file["entry/x"] = np.arange(GREY.shape[1]) * x
        file["entry/image"] = h5py.SoftLink("/raw/image")
        file.attrs["default"], file["entry"].attrs["signal"], file["entry"].attrs["axes"] = "entry", "image", ["y", "x"]
        for name in "yx" if units else "":
            file[f"entry/{name}"].attrs["units"] = units
    assert open_picture(tmp_path / "scan.nxs").pixel_size == wanted
    with h5py.File(tmp_path / "scan.nxs", "a") as file:
        file["entry/x"][5] = 9.0  # steps that differ
    assert open_picture(tmp_path / "scan.nxs").pixel_size is None


@pytest.mark.parametrize("kind", ["npy", "hdf5"])
def test_a_stack_that_hier_writes_is_read(kind: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from hier.cli.app import app

    if kind == "hdf5":
        pytest.importorskip("h5py")
    command = ["generate", "--source", "noise", "--count", "2", "--size", "64", "--format", kind, "--out"]
    assert CliRunner().invoke(app, [*command, str(tmp_path)]).exit_code == 0
    files = [f for f in sorted(tmp_path.rglob("*")) if f.suffix in (".npy", ".h5", ".hdf5")]
    pages = [open_picture(f"{f}{'::/images' if kind == 'hdf5' else ''}", Reading.of(page=1)).array for f in files[:1]]
    made = PatternDataset("noise", 0, size=64).batch([0])[0].permute(1, 2, 0).numpy()
    assert pages[0].shape == made.shape


def test_reduced_copies_and_planes_of_tiff(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "thumb.tif") as file:
        file.write(SMALL, photometric="rgb", subfiletype=1)
        file.write(GREY)
    assert (open_picture(tmp_path / "thumb.tif").array == GREY).all()
    five = np.stack([GREY + k for k in range(5)])
    tifffile.imwrite(tmp_path / "planes.tif", five, planarconfig="separate", photometric="minisblack")
    tifffile.imwrite(tmp_path / "volume.tif", five, volumetric=True)
    tifffile.imwrite(tmp_path / "packed.tif", five, volumetric=True, compression="zlib", tile=(1, 16, 16))
    for name in ("planes.tif", "volume.tif", "packed.tif"):
        with pytest.raises(ImageError, match="--page N"):
            read(tmp_path / name)
        assert (open_picture(tmp_path / name, Reading.of(page=3)).array == five[2]).all()
        with pytest.raises(ImageError, match="it has pages 1 to 5"):
            read(tmp_path / name, Reading.of(page=6))


@pytest.mark.parametrize(
    ("units", "sizes", "wanted"),
    [(("nm", "nm"), (0.02, 0.02), PixelSize(0.02, "nm")), (("nm", "pm"), (0.02, 20.0), PixelSize(0.02, "nm")),
     (("nm", "pm"), (0.02, 0.02), None), (("s", "s"), (1.0, 1.0), None)],
)  # fmt: skip
def test_the_length_that_gatan_writes_into_tiff(
    units: tuple[str, str], sizes: tuple[float, float], wanted: PixelSize | None, tmp_path: Path
) -> None:
    tags = [(65003 + k, "s", 0, unit, True) for k, unit in enumerate(units)]
    tags += [(65009 + k, "d", 1, size, True) for k, size in enumerate(sizes)]
    tifffile.imwrite(tmp_path / "a.tif", GREY, extratags=tags)
    assert open_picture(tmp_path / "a.tif").pixel_size == wanted


def test_units_are_compared_and_impossible_lengths_not_believed(tmp_path: Path) -> None:
    for x_unit, y, wanted in (("pm", 0.0122, PixelSize(12.2, "pm")), ("pm", 0.305, None)):
        metadata = {"PhysicalSizeX": 12.2, "PhysicalSizeXUnit": x_unit, "PhysicalSizeY": y, "PhysicalSizeYUnit": "nm"}
        tifffile.imwrite(tmp_path / "a.ome.tif", GREY, metadata=metadata)
        assert open_picture(tmp_path / "a.ome.tif").pixel_size == wanted
    assert pixel_size_from(1.0157e8, "m") is None
    assert pixel_size_from(0.5, "pm") is None
    assert pixel_size_from(float("nan"), "nm") is None
    assert pixel_size_from(0.122, "\\u00C5") == PixelSize(0.122, "A")
    assert pixel_size_from(0.2, "[n_m]") == PixelSize(0.2, "nm")


def test_a_suffix_that_is_no_picture_is_never_decoded_as_one(tmp_path: Path) -> None:
    for name in ("photo.dng", "slide.svs", "stack.lsm"):
        with tifffile.TiffWriter(tmp_path / name) as file:
            file.write(SMALL, photometric="rgb", subfiletype=1)
        with pytest.raises(ImageError, match=f"{Path(name).suffix} files are not read: export"):
            read(tmp_path / name)
    (tmp_path / "scan.emi").write_bytes(b"JI" * 50)
    with pytest.raises(ImageError, match=r"put scan_1\.ser beside it"):
        read(tmp_path / "scan.emi")


def hyperspy_like(array: Array, scale: float, units: str) -> SimpleNamespace:
    axes = [SimpleNamespace(scale=scale, units=units) for _ in "xy"]
    return SimpleNamespace(data=array, axes_manager=SimpleNamespace(signal_axes=axes))


def xarray_like(array: Array, step: float, units: str) -> SimpleNamespace:
    coords = {
        name: SimpleNamespace(values=step * np.arange(n), attrs={"units": units})
        for name, n in zip("yx", array.shape, strict=True)
    }
    return SimpleNamespace(values=array, dims=("y", "x"), coords=coords)


class SidpyLike:
    """As sidpy's, but of numpy and not of dask."""

    def __init__(self, array: Array, slope: float, units: str) -> None:
        self.array, self._axes = array, {k: SimpleNamespace(slope=slope, units=units) for k in (0, 1)}

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.array


@pytest.mark.parametrize("like", [hyperspy_like, xarray_like, SidpyLike])
def test_images_of_other_libraries_bring_their_calibration(like: Callable[[Array, float, str], Any]) -> None:
    image = PatternDataset("noise", 7, size=128).batch([0])[0].mean(0).numpy()
    (found,) = hier.load().predict(like(image, 0.02, "nm"))
    (plain,) = hier.load().predict(image)
    assert found.group == plain.group
    assert found.pixel_size == PixelSize(0.02, "nm")
    assert open_picture(like(image, 0.02, "1/nm")).pixel_size is None
    with pytest.raises(ImageError, match="a SimpleNamespace cannot be used"):
        read(SimpleNamespace())  # type: ignore[arg-type]


def test_the_real_libraries_are_understood() -> None:
    xarray = pytest.importorskip("xarray")
    coords = {"y": ("y", 0.5 * np.arange(H), {"units": "nm"}), "x": ("x", 0.5 * np.arange(W), {"units": "nm"})}
    found = open_picture(xarray.DataArray(GREY, dims=("y", "x"), coords=coords))
    assert (found.array == GREY).all()
    assert found.pixel_size == PixelSize(0.5, "nm")


def test_instrument_files_get_an_answer_or_a_true_line() -> None:
    """Files from the tests of readers, where they are: each is an image, or one line says why not; no length is odd."""
    folder = Path(__file__).parents[3] / "shared" / "data" / "files"
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.suffix != ".md"]
    if not files:
        pytest.skip("needs the instrument files")
    lengths = {}
    for file in files:
        try:
            found = read_file(file, Reading())
        except ImageError:  # of one line, as all are
            continue
        assert found.array.dtype.kind in "buif"
        lengths[file.name] = found.pixel_size
    assert len(lengths) > 30
    known = {
        "Acquisition_18.emd": "nm", "tiff_olympus_SIS.tif": "nm", "tiff_test_loading_image_saved_with_DM.tif": "um",
        "emd_FFTComplexEven.emd": "um", "sample_0.jpk-qi-image": "nm", "tia_old_64x64_TEM_images_acquire.emi": "nm",
    }  # fmt: skip
    for name, unit in known.items():
        size = lengths[name]
        assert size is not None
        assert size.unit == unit
    assert lengths["tia_old_64x64_diffraction_acquire_1.ser"] is None


def test_a_folder_tells_once_what_it_skipped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hier.cli.app import main

    folder = tmp_path / "scans"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", GREY)
    tifffile.imwrite(folder / "b.tif", GREY[::-1])
    for name in ("notes.txt", "more.txt", "photo.DNG", ".hidden", "README"):
        (folder / name).touch()
    monkeypatch.setattr("sys.argv", ["hier", "predict", str(folder), "--device", "cpu"])
    with pytest.raises(SystemExit):
        main()
    told = capfd.readouterr().err
    assert told.count("skipped") == 1
    assert "1 without suffix, 1 .dng, 2 .txt" in told
