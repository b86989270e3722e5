"""Colours of what is drawn on images, and beside them."""

INK = "#111111"  # letters and rotation centres
LINES = "#c2005f"  # mirrors and glides
CELL = "#ffd21f"
BEST = "#39c5ff"  # where an image that is refused repeats best
HALO, SHADOW = "white", "#202020"  # about dark and about bright lines
