"""Settings of a training, checked at the edge: from the command line, a YAML file, or both."""

from __future__ import annotations

import hashlib
import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...datasets import PatternDataset, photo_content, split_pool
from ...datasets.dataset import DatasetError
from ...hierarchy import GROUP_NAMES, HierError, Tree, TreeError, load_tree
from ...hierarchy.yaml_text import PROBLEMS, YamlError, brief, parse_yaml, read_text
from ...models.node import NodeClassifier, NodeSettings
from ..generating.parts import REVISION

BATCH, MOST = 128, 1024  # images in a step: on a processor, and at most on a card


class SettingsError(HierError):
    """Settings that cannot be used; names the key, its value and what is allowed."""


class TrainSettings(BaseModel):
    """Everything that decides what a training makes. Two equal settings make the same nodes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    tree: str = Field("wallpaper", description="wallpaper, paper, or a YAML file")
    source: tuple[Literal["photos", "atoms", "noise", "outlines"], ...] = Field(
        ("photos",), min_length=1, description="what patterns are made from: photos, atoms, noise, outlines"
    )
    photos: Path | None = Field(None, description="folder of photographs; scikit-image's and textures if left out")
    count: int = Field(3400, ge=17, description="training images")
    valid_count: int = Field(
        510, ge=17, description="validation images, of pictures not trained on; 15 % of count, from 34 to 510, if null"
    )
    cross_count: int = Field(
        340, ge=17, description="images of each cross-validation set; 10 % of count, from 17 to 340, if null"
    )
    sizes: tuple[int, ...] = Field((128, 192, 256, 256), min_length=1, description="px, each an equal share")
    augment: bool = Field(True, description="blur, noise, contrast, slope and drift on most training images")
    pasted: float = Field(
        0.35,
        ge=0,
        le=1,
        description="share of training images made by pasting whole-pixel cells; outlines are not pasted",
    )
    whitened: float = Field(0, ge=0, le=1, description="share of patterns of photographs whose pictures are whitened")
    disorder: float = Field(
        0.1, ge=0, le=1, description="share of training images with displaced content, and share with missing content"
    )
    workmanship: float = Field(0, ge=0, le=1, description="share of training images that are rough but symmetric")
    near_misses: float = Field(0.4, ge=0, le=1, description="share of near misses among training images")
    endless: bool = Field(False, description="make each image when it is needed, once, and keep no evidence")
    epochs: int = Field(15, ge=1, description="epochs of the backbone on all groups")
    tune_epochs: int = Field(6, ge=1, description="epochs of fine-tuning at each node")
    batch: int | None = Field(None, ge=8, description="128 if left out; on a card more, with the rates to go with it")
    lr: float = Field(5e-3, gt=0, description="highest learning rate of the backbone")
    tune_lr: float = Field(1e-3, gt=0, description="highest learning rate of fine-tuning")
    backbone: str = Field("lcnet_050", description="any timm model, for instance resnet18")
    pretrained: bool = Field(False, description="start from timm's weights, which are downloaded")
    seed: int = Field(0, ge=0, lt=1_000_000, description="of images and of weights")

    @model_validator(mode="before")
    @classmethod
    def _following_the_count(cls, values: Any) -> Any:
        """Sets that nothing is trained on are made too: with few training images they would take most of the time."""
        if not isinstance(values, dict) or not isinstance(count := values.get("count", 3400), int):
            return values
        follow = {"valid_count": max(34, min(510, 15 * count // 100)), "cross_count": max(17, min(340, count // 10))}
        return values | {name: n for name, n in follow.items() if values.get(name) is None}

    def on(self, device: str) -> TrainSettings:
        """The same with `batch` set.

        A card takes as long for a step with 128 images as with 1,024, so that it gets a hundredth of the images of an
        epoch at a time, between these two. Rates grow with the square root of the batch, as suits AdamW.
        """
        if self.batch is not None:
            return self
        batch = BATCH if device == "cpu" else min(MOST, max(BATCH, self.count // 100))
        faster = math.sqrt(batch / BATCH)
        return self.model_copy(update={"batch": batch, "lr": self.lr * faster, "tune_lr": self.tune_lr * faster})


def commented() -> str:
    """All settings with their defaults as YAML, what each means in a comment above it."""
    kept = TrainSettings.model_validate({}).model_dump(mode="json") | {"valid_count": None, "cross_count": None}
    lines = ["# Settings of hier train, for its --config. Options on the command line override them.\n"]
    for name, field in TrainSettings.model_fields.items():
        lines += [f"# {field.description}\n", f"{name}: {json.dumps(kept[name])}\n"]
    return "".join(lines)


def digest(settings: TrainSettings, tree: Tree) -> str:
    """Short name of all that a training depends on: the folder of an interrupted training is found by it.

    Files count by what they hold, wherever they are: the tree by its digest, the photographs by their bytes.
    """
    photos = [photo_content(settings.photos, split) for split in ("train", "valid")] if settings.photos else []
    own = settings.model_dump_json(exclude={"tree", "photos"})
    text = repr((own, tree.name, tree.digest, photos, version("hier"), REVISION))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def train_settings(config: Path | None, **given: Any) -> TrainSettings:
    """Settings from a YAML file; those `given` that are not None override it.

    Raises SettingsError for an unreadable file, an unknown key or a value out of range.
    """
    values: dict[str, Any] = {}
    if config is not None:
        try:
            values = parse_yaml(read_text(config)) or {}
        except YamlError as error:
            raise SettingsError(f"config {config}: {error}") from error
        if not isinstance(values, dict):
            raise SettingsError(f"config {config} holds a {type(values).__name__}, keys with values are needed")
    values.update({k: v for k, v in given.items() if v is not None})
    try:
        return TrainSettings.model_validate(values)
    except ValidationError as error:
        known = ", ".join(TrainSettings.model_fields)
        lines = []
        for e in error.errors()[:PROBLEMS]:
            key = ".".join(str(part) for part in e["loc"])
            if e["type"] == "extra_forbidden":
                lines.append(f"unknown key {brief(key)}; known: {known}")
            else:
                lines.append(f"{key} = {brief(e['input'])}: {e['msg'].lower()}")
        where = f"config {config}: " if config else ""
        raise SettingsError(where + "; ".join(lines)) from error


def check(settings: TrainSettings) -> None:
    """Check before anything is written what a training would find out late: its tree, images and backbone.

    Raises SettingsError, SourceError, TreeError or BackboneError.
    """
    labels = set(load_tree(settings.tree).labels)
    if labels != set(GROUP_NAMES):
        foreign, missing = sorted(labels - set(GROUP_NAMES)), [name for name in GROUP_NAMES if name not in labels]
        lists = [f"{what} {', '.join(names)}" for what, names in (("has", foreign), ("lacks", missing)) if names]
        raise TreeError(
            f"tree {settings.tree} {' and '.join(lists)}: `hier train` only supports trees whose leaves are exactly "
            "the 17 wallpaper groups. For images with labels of your own use hier.HierarchicalClassifier"
        )
    check_images(settings)
    for split in ("train", "valid") if settings.photos else ():
        split_pool(settings.photos, split)
    NodeClassifier(NodeSettings(("no", "yes"), settings.backbone), settings.pretrained)


def check_images(settings: TrainSettings) -> None:
    """SettingsError for images that cannot be made as asked; it names the setting."""
    s, kinds = settings, len(settings.source) * len(settings.sizes)
    if s.count < kinds:
        raise SettingsError(
            f"count = {s.count} is less than one image for each of {len(s.source)} sources x {len(s.sizes)} sizes: "
            f"at least {kinds} are needed"
        )
    if s.whitened and "photos" not in s.source:
        raise SettingsError(f"whitened = {s.whitened} applies to photos, and source = {list(s.source)} has none")
    for size in s.sizes:
        try:
            PatternDataset("noise", 0, size)
        except DatasetError as error:
            raise SettingsError(f"sizes: {error}") from error
