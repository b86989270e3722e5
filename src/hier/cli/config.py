"""`hier config`: all settings of a training, as a YAML file with comments."""

from __future__ import annotations

import typer

EPILOG = "Example:  hier config > training.yaml && hier train --level rotation --config training.yaml"


def config() -> None:
    """Print all settings of `hier train` with their defaults and what they mean, as YAML for its --config."""
    from ..pipelines.training.settings import commented

    typer.echo(commented(), nl=False)
