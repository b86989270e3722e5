"""Models out of the registry as bundles on this disk."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from pathlib import Path

from ...hierarchy import UnknownNameError
from ...hierarchy.locks import locked
from ...models.bundle import BundleError, check_digest, find_card
from .errors import StoreError, shown, telling
from .registry import Registered, registered
from .runs import store
from .sender import Sender

SCHEME = "models:/"
logger = logging.getLogger("hier")


def local_model(model: Path | str, root: Path = Path("mlruns")) -> Path:
    """The bundle that `model` names: a path as it is, ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` fetched.

    The store is the one of `root`, or of MLFLOW_TRACKING_URI; what was fetched once is kept under ``root/work``.
    Raises StoreError when the store does not answer, and UnknownNameError or StoreError for a model it does not have.
    """
    uri = str(model)
    if not uri.startswith(SCHEME):
        return Path(model)
    parts = re.fullmatch(rf"{SCHEME}([^/@]+)(?:@([^/@]+)|/(\d+))", uri)
    if parts is None:
        raise StoreError(f"{uri} is not the name of a model: give models:/NAME@ALIAS or models:/NAME/VERSION")
    where = store(root)
    if where.uri.startswith("sqlite:") and not _database(where.uri).exists():
        raise StoreError(f"{uri} is in no store: {_database(where.uri)} is not there; {HINT}")
    sender = where.connect()
    with telling(where.uri):
        found = registered(sender.client, parts[1])
        if not found.versions:
            names = [m.name for m in sender.client.search_registered_models()]
            if not names:
                raise StoreError(f"{uri}: {shown(where.uri)} has no models yet; {HINT}")
            raise UnknownNameError("registered model", parts[1], names)
        return fetch(found, _version(found, parts[2], parts[3]), root, sender)


HINT = "`hier train --level all`, `hier promote all` and `hier assemble` make hier-tree, or change the folder"


def fetch(model: Registered, version: int, root: Path, sender: Sender) -> Path:
    """The card of a version, fetched unless it is there already, undamaged: versions never change."""
    entity = model.versions[version]
    kept = root / "work" / "models" / (entity.model_id or f"{entity.run_id}-{model.name}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with locked(kept.parent / ".lock", wait=True):  # so that what is unfinished there was left by a kill
        if not _is_whole(kept):
            for left in (kept, *kept.parent.glob("unfinished-*")):
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
            _fetch(model, version, kept, sender)
    return find_card(kept)


def _is_whole(kept: Path) -> bool:
    if not kept.exists():
        return False
    try:
        check_digest(kept)
    except BundleError as error:
        logger.warning("the model kept in %s is damaged and is fetched again: %s", kept, error)
        return False
    return True


def _fetch(model: Registered, version: int, kept: Path, sender: Sender) -> None:
    import mlflow

    with tempfile.TemporaryDirectory(dir=kept.parent, prefix="unfinished-") as folder:
        got = mlflow.artifacts.download_artifacts(
            # an address models:/NAME would be looked up in the store that the program has set for itself
            sender.client.get_model_version_download_uri(model.name, str(version)),
            dst_path=folder,
            tracking_uri=sender.uri,
            registry_uri=sender.uri,
        )
        if not Path(got, "artifacts").is_dir():
            raise StoreError(f"{model.name} version {version} was not made by hier: it holds no bundle")
        os.replace(Path(got, "artifacts"), kept)


def _version(model: Registered, alias: str | None, number: str | None) -> int:
    if alias is not None:
        if alias not in model.aliases:
            raise StoreError(f"{model.name} has no alias {alias!r}; its versions: {model}")
        return model.aliases[alias]
    if int(str(number)) not in model.versions:
        raise StoreError(f"{model.name} has no version {number}; its versions: {model}")
    return int(str(number))


def _database(uri: str) -> Path:
    from sqlalchemy.engine import make_url

    return Path(make_url(uri).database or "")
