"""What describes a release: Croissant metadata for machines (MLCommons, version 1.0), a datasheet for people."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...hierarchy import GROUP_NAMES

LICENSE = "https://creativecommons.org/publicdomain/zero/1.0/"
CITE = (
    "@software{hier, title = {hier: wallpaper groups of periodic images}, note = {after Guo, Qin and Agar, "
    "Understanding Experimental Data by Identifying Symmetries with Deep Learning}}"
)
PUBLISHED = "2026-12-01"  # of this version of the sets: the same command makes the same files on any day
ABOUT = (
    "Periodic patterns of the 17 wallpaper groups, made of pictures, simulated atoms and noise, exact, pasted of whole "
    "pixels and rough, turned and aligned. Train on none of them."
)
TERMS = (
    "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{term: f"cr:{term}" for term in TERMS.split()},
}


def croissant(tables: Mapping[str, Path], hidden: bool) -> dict[str, Any]:
    """The metadata of a release whose parquet `tables` are named by their source."""
    columns = {"id": "sc:Text", "image": "sc:ImageObject"}
    columns |= {} if hidden else {"group": "sc:Text", "number": "sc:Integer", "source": "sc:Text", "part": "sc:Text"}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": "hier-wallpaper-groups",
        "description": ABOUT,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": LICENSE,
        "version": "1.0.0",
        "datePublished": PUBLISHED,
        "citeAs": CITE,
        "keywords": ["symmetry", "wallpaper groups", "crystallography"],
        "distribution": [
            {
                "@type": "cr:FileObject", "@id": path.name, "name": path.name, "contentUrl": path.name,
                "encodingFormat": "application/x-parquet", "sha256": sha256(path),
                "contentSize": f"{path.stat().st_size} B",
            }
            for path in tables.values()
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet", "@id": source, "name": source, "key": {"@id": f"{source}/id"},
                "field": [_field(source, path.name, column, kind) for column, kind in columns.items()],
            }
            for source, path in tables.items()
        ],
    }  # fmt: skip


def _field(source: str, file: str, column: str, kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "@type": "cr:Field", "@id": f"{source}/{column}", "name": column, "dataType": kind,
        "source": {"fileObject": {"@id": file}, "extract": {"column": column}},
    }  # fmt: skip
    if column == "image":
        made["source"]["transform"] = {"jsonPath": "bytes"}
    return made


def sha256(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def datasheet(settings: Mapping[str, Any]) -> str:
    """README.md of a release, after Gebru et al., Datasheets for Datasets (2021)."""
    told = "".join(f"| {key} | {value} |\n" for key, value in settings.items())
    labels = (
        "The labels are kept by whoever drew the seed."
        if settings["hidden"]
        else "`labels.csv` has the group of each image; parquet and tar have its cell, its origin and how much each of "
        "the 17 groups misfits as well."
    )
    return f"""# Wallpaper groups: test sets

{ABOUT}

| setting | value |
|---|---|
{told}
**Why.** Networks that are right in 99.9 % of patterns made of photographs fail on patterns made of atoms (Guo, Qin and
Agar). These sets measure that: the same groups, with three kinds of content, in five constructions.

**What.** `SOURCE.parquet` (Hugging Face datasets) and `SOURCE.tar` (WebDataset) hold the same PNG images. {labels}
The 17 groups are equally common in each source and part: {", ".join(GROUP_NAMES)}.

**How made.** By `hier generate --release`. Pictures are folded into the group's fundamental domain, or whole-pixel
cells are tiled (`paste`); `rough` parts deviate from symmetry as handwork and instruments do. A draw that comes within
5 % of a symmetry which its label does not have is rejected. The pictures behind `photos` are scikit-image's and
procedural textures; nothing of a person is in them but what scikit-image ships.

**For what.** Testing. Do not train on them: every image can be drawn anew, without end, by `hier generate`. They do not
show how well a method does on images of an instrument.

**Check.** `sha256sum -c SHA256SUMS`. **Score.** `hier score SUBMISSION.csv --labels labels.csv`: see docs/submit.md.
**Licence.** CC0: {LICENSE}
"""
