"""Wallpaper groups of periodic images, step by step down the crystallographer's tree."""
