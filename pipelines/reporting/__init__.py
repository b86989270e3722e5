"""Answers shown: `report` on one HTML page with its `pictures`, `overlays` as files, `explained` which maps decided."""
