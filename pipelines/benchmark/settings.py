"""Presets of `hier benchmark`: what is generated, how large the networks are, how long they train."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...hierarchy import UnknownNameError
from ...hierarchy.yaml_text import PROBLEMS, YamlError, brief, parse_yaml, read_text
from ..training.settings import SettingsError

NOT_OF_A_ROW = {"name", "systems", "curve", "networks", "lr_of", "epochs_of"}  # it has its own share of the last three
ROLES = ("resnet", "densenet", "pyramid", "xcit", "small", "maps")


class Curve(BaseModel):
    """Accuracy against number of training images: for which systems, at which counts below the preset's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    systems: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()


class Preset(BaseModel):
    """A benchmark. Every row sees the same images, equally often."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    size: int = Field(ge=48, le=1024, multiple_of=16, description="px; multiples of 16, so that halvings stay exact")
    cells: tuple[float, float] = Field((4.0, 60.0), description="fewest and most primitive cells in view")
    orientation: Literal["any", "aligned"] = "any"
    count: int = Field(ge=17, description="training images, of photographs")
    valid_count: int = Field(ge=17, description="validation images, of photographs not trained on")
    cross_count: int = Field(ge=17, description="images of atoms, and as many of noise")
    fresh: int = Field(
        0, ge=0, description="new photo patterns in each epoch, each seen once, in place of `count`; 0: none"
    )
    epochs: int = Field(ge=1)
    batch: int = Field(ge=4)
    lr: float = Field(1e-3, gt=0, description="highest learning rate")
    lr_of: dict[str, float] = Field(default_factory=dict, description="learning rates of single systems")
    epochs_of: dict[str, int] = Field(default_factory=dict, description="epochs of single systems")
    precision: Literal["full", "mixed"] = Field("full", description="mixed: bfloat16 where the device computes in it")
    width: int = Field(64, ge=8, description="channels of the small equivariant networks' first layer")
    networks: dict[str, str] = Field(description=f"timm names by role: {', '.join(ROLES)}")
    pretrained: bool = False
    tree: str = "wallpaper"
    systems: tuple[str, ...] = Field((), description="rows in the order in which they run; all if left out")
    curve: Curve = Curve()
    seed: int = Field(0, ge=0, lt=1_000_000)

    @model_validator(mode="after")
    def _roles(self) -> Self:
        missing = [role for role in ROLES if role not in self.networks]
        if missing:
            raise ValueError(f"networks: no timm name for {', '.join(missing)}")
        return self

    def within(self, budget: int | None) -> Preset:
        """The same with at most `budget` images seen in training: fewer epochs, then fewer images."""
        if budget is None:
            return self
        count, fresh = min(self.count, budget), min(self.fresh, budget)
        epochs = max(1, min(self.epochs, budget // (fresh or count)))
        return self.model_copy(update={"count": count, "fresh": fresh, "epochs": epochs})

    def digest_of_row(self, system: str, network: str, made_of: str, images: str, device: str) -> str:
        """A digest of what one row is made of: a finished row of the same digest need not be trained again."""
        own = self.model_dump_json(exclude=NOT_OF_A_ROW)
        text = repr((own, system, network, made_of, images, self.lr_of.get(system), self.epochs_of.get(system), device))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def built_in() -> tuple[str, ...]:
    """Names of the presets that come with the package."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.yaml")))


def preset_file(name: str) -> Path:
    """The file of a built-in preset, or `name` as a path. UnknownNameError for a name that is neither."""
    if name in built_in():
        return Path(__file__).with_name(f"{name}.yaml")
    if Path(name).suffix not in (".yaml", ".yml"):
        raise UnknownNameError("preset", name, built_in(), "; or a YAML file of your own")
    return Path(name)


def load_preset(name: str) -> Preset:
    """A built-in preset by name, or a YAML file. Raises UnknownNameError or SettingsError."""
    path = preset_file(name)
    try:
        values: Any = parse_yaml(read_text(path))
    except YamlError as error:
        raise SettingsError(f"preset {path}: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"preset {path} holds a {type(values).__name__}, keys with values are needed")
    try:
        return Preset.model_validate(values)
    except ValidationError as error:
        raise SettingsError(f"preset {path}: {'; '.join(map(_reason, error.errors()[:PROBLEMS]))}") from error


def _reason(error: Any) -> str:
    key = ".".join(map(str, error["loc"]))
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key {brief(key)}; known: {', '.join(Preset.model_fields)}"
        case "missing":
            return f"key {key!r} is missing"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
    return f"{key} = {brief(error['input'])}: {error['msg'].lower()}"
