"""Among how many cells of its lattice the content of an image is shared: three objects always lie on some lattice."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FEWEST = 3.1  # cells; any three objects are repeats of each other by some lattice, whatever they are
ACROSS = 8  # cells along a side, at most: smaller ones are taken together
OFFSETS = 3  # places of the cells' origin along each of their sides
BINS = 64  # a power of 2, more than the cells along a long image
FINEST = 64  # squares along a side in which content is summed
SAMPLED = 32  # pixels along a side to which a plane is fitted
TRIMMED = 3  # times that a plane is fitted to the half of the pixels nearest to it
FLOOR = 2.0  # times the median content of a square: noise has hardly more
KEPT = 0.3  # share of the content above that floor, at least, where the floor is noise on an empty background


def copies(images: Tensor, basis: Tensor) -> Tensor:
    """The effective number of cells of lattices (B, 2, 2) px among which the content of images (B, C, H, W) is shared.

    (B,): the participation ratio ``(sum e)^2 / sum e^2`` of the content `e` of the cells, at the origin of the cells
    for which it is least. A pattern has about as many as there are cells in view, as far as `ACROSS` lets them count;
    a few objects on an empty background have at most their own number, however well some of them repeat. Content is
    the squared deviation from the plane that fits the background, less what noise has everywhere on an empty one.
    """
    height, width = images.shape[-2:]
    content, step = _content(images)
    side = (height * width) ** 0.5 / ACROSS
    cell = basis * (side / basis.norm(dim=1, keepdim=True).clamp_min(1e-6)).ceil().clamp_min(1)
    y, x = ((torch.arange(n, device=images.device) + 0.5) * step for n in content.shape[-2:])
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), 0).flatten(1)
    ticks = torch.arange(OFFSETS, device=images.device) / OFFSETS
    place = (torch.linalg.inv_ex(cell).inverse @ points)[:, None] + torch.cartesian_prod(ticks, ticks)[:, :, None]
    index = place.floor().long() & (BINS - 1)
    found = content.new_zeros(len(images), OFFSETS**2, BINS**2)
    each = content.flatten(1)[:, None].expand(-1, OFFSETS**2, -1)
    found.scatter_add_(2, index[:, :, 0] * BINS + index[:, :, 1], each)
    shared = found.sum(-1).square() / found.square().sum(-1)  # 0 / 0 where nothing deviates at all
    return shared.nan_to_num(torch.inf).amin(1)


def _content(images: Tensor) -> tuple[Tensor, int]:
    """Content of squares of an image (B, h, w), and how many px their sides span."""
    height, width = images.shape[-2:]
    if images.device.type == "cpu" and images.shape[1] == 3 and torch.equal(images[:, :2], images[:, 1:]):
        images = images[:, :1]  # greys
    y, x = (torch.linspace(-1, 1, n, device=images.device, dtype=images.dtype) for n in (height, width))
    level, across, up = _background(images, y, x).unbind(-1)
    rest = images - level[..., None, None] - across[..., None, None] * x - up[..., None, None] * y[:, None]
    step = max(1, int((height * width) ** 0.5) // FINEST)
    content = F.avg_pool2d(rest.square().sum(1, keepdim=True), step)[:, 0]
    above = (content - FLOOR * content.flatten(1).median(1).values[:, None, None]).clamp_min(0)
    empty = above.sum((1, 2)) >= KEPT * content.sum((1, 2))
    return torch.where(empty[:, None, None], above, content), step


def _background(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Planes (B, C, 3), level and slopes along `x` and `y`, through the half of the pixels that lie nearest to one."""
    down, right = (max(1, n // SAMPLED) for n in images.shape[-2:])
    v, x, y = images[..., ::down, ::right], x[::right], y[::down]
    ones = torch.ones_like(v[0, 0])
    terms = torch.stack([ones, ones * x, ones * y[:, None]], -1).flatten(0, 1)
    values = v.flatten(2)
    off = (values - values.median(-1, keepdim=True).values).abs()
    plane = values.new_zeros(*values.shape[:2], 3)
    damping = 1e-3 * torch.eye(3, device=images.device, dtype=images.dtype)
    for _ in range(TRIMMED):
        near = (off <= off.median(-1, keepdim=True).values + 1e-6).to(values)
        moments = torch.einsum("bcn,ni,nj->bcij", near, terms, terms)
        plane = torch.linalg.solve(moments + damping, ((near * values) @ terms)[..., None])[..., 0]
        off = (values - plane @ terms.T).abs()
    return plane
