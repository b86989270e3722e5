"""Results on their way to the screen, each written to a file as it passes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..hierarchy import HierError
from ..screen.streams import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ..pipelines.answering.results import Failure, Prediction
    from ..pipelines.reporting.overlays import OverlayFiles
    from ..pipelines.reporting.report import Report


def tell_skipped(skipped: Mapping[str, int]) -> None:
    """What folders held besides images, in one line, once."""
    if skipped:
        kinds = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in sorted(skipped.items()))
        tell(f"skipped, of no suffix that is read: {kinds}", err=True)


def drawn(results: Iterable[Prediction | Failure], overlays: OverlayFiles) -> Iterator[Prediction | Failure]:
    """The results as they are, each with its overlay drawn; one of one colour has none, which is reported."""
    from ..pipelines.answering.results import Failure

    for result in results:
        yield result
        if not isinstance(result, Failure):
            if result.symmetry is None and result.tried is None:
                tell(f"{result.file}: {result.statement}, no overlay is drawn", err=True)
            else:
                tell(f"overlay: {overlays.draw(result)}", err=True)


def reported(results: Iterable[Prediction | Failure], document: Report) -> Iterator[Prediction | Failure]:
    """The results as they are, each added to the report while its image is in memory."""
    for result in results:
        yield result
        document.add(result)


def exported(
    results: Iterable[Prediction | Failure], option: str, path: Path, write: Callable[[Prediction, Path], bool],
    lacking: str,
) -> Iterator[Prediction | Failure]:  # fmt: skip
    """The results as they are; that of the one image is written to a file, or what is `lacking` for that is told."""
    from ..pipelines.answering.results import Failure

    count = 0
    for result in results:
        yield result
        count += not isinstance(result, Failure)
        if count > 1:
            raise HierError(f"{option} {path} is for one image: {result.file} is the second")
        if not isinstance(result, Failure):
            done = write(result, path)
            tell(f"{option[2:]}: {path}" if done else f"{result.file}: {lacking}, {path} is not written", err=True)


def added(results: Iterable[Prediction | Failure], add: Callable[[Prediction], None]) -> Iterator[Prediction | Failure]:
    """The results as they are, each added to the table of groups."""
    from ..pipelines.answering.results import Failure

    for result in results:
        yield result
        if not isinstance(result, Failure):
            add(result)
