"""What a visitor has set: checked at the edge, and handed on as the command line's options are."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from ...hierarchy import HierError
from ...models.evidence.crops import Box
from ..answering.asked import Asked
from ..reading.picture import Reading

Pixel = Annotated[FiniteFloat, Field(ge=-1e6, le=1e6)]
SMALLEST = 32  # px: a side of a region


class Say(BaseModel):
    """What to answer for: a `region` (left, top, width, height), and the rest as `hier.load` and `Reading` have it.

    `basis` is ax, ay, bx, by and `origin` x, y, both in px of the whole image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: tuple[int, int, int, int] | None = None
    basis: tuple[Pixel, Pixel, Pixel, Pixel] | None = None
    refine: bool = True
    tolerance: Annotated[float, Field(gt=0, lt=1)] | None = None
    group: Annotated[str, Field(max_length=12)] | None = None
    origin: tuple[Pixel, Pixel] | None = None
    pixel_size: Annotated[str, Field(max_length=40)] | None = None

    @classmethod
    def parse(cls, text: str | bytes) -> Say:
        """The same from JSON, nothing for no text. Raises HierError."""
        try:
            return cls.model_validate_json(text or "{}")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the request"
            raise HierError(f"{where}: {first['msg']}") from error

    @property
    def reading(self) -> Reading:
        """How the file is read. Raises HierError."""
        return Reading.of(pixel_size=self.pixel_size or None)

    def asked(self) -> Asked | None:
        """What is asked for. Raises HierError."""
        return Asked.of(self.basis, self.refine or self.basis is None, self.group or None, self.origin)

    def box(self, width: int, height: int) -> Box | None:
        """The region as far as it lies in an image of `width` x `height` px; None for the whole. Raises HierError."""
        if self.region is None:
            return None
        x, y, w, h = self.region
        left, top = max(x, 0), max(y, 0)
        box = left, top, min(x + w, width) - left, min(y + h, height) - top
        if min(box[2:]) < SMALLEST:
            raise HierError(f"region {x},{y},{w},{h}: draw at least {SMALLEST} px a side within the image")
        return box
