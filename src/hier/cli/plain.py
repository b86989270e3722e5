"""Commands as typer has them, without a type behind options that take no value."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption


def _plain(params: list[Any]) -> list[Any]:
    for param in params:
        if isinstance(param, TyperOption) and param.is_flag:
            param.metavar = ""
    return params


class Plain(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As typer has them."""
        return _plain(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As typer has them."""
        return _plain(super().get_params(ctx))
