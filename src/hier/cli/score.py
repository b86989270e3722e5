"""`hier score`: a submission for a release of test sets, with all figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..screen.streams import fail
from .options import Json

EPILOG = "Example:  hier score mine.csv --labels sets/labels.csv"


def score(
    submission: Annotated[
        Path, typer.Argument(help="CSV with the columns id, p1, p2, ... p6m: probabilities that sum to 1 in each row.")
    ],
    labels: Annotated[Path, typer.Option(help="labels.csv of the release: see `hier generate --release`.")],
    as_json: Json = False,
) -> None:
    """Score probabilities for the images of a release: accuracy, levels, calibration, severity, with intervals.

    All that is wrong with a submission is listed, a line each, and nothing is scored. Intervals are those of 2000
    bootstrap samples of the images.
    """
    from ..pipelines.measuring.submission import SubmissionError, read_submission, read_truth
    from ..pipelines.measuring.submission import score as run

    truth = read_truth(labels)
    try:
        found = run(read_submission(submission, truth), truth)
    except SubmissionError as error:
        for problem in error.problems:
            fail(problem)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
        return
    from ..screen.console import Screen
    from ..screen.scores import score_tables

    screen = Screen()
    for table in score_tables(found):
        screen.print(table)
