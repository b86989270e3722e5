"""Files to images: `images` reads anything, `tiff`, `hdf5`, `raw`, `em`, `afm` and `gwy` a format each.

`names` expands folders, patterns and lists, `files` says which suffix is whose, `picture` what a reader gives,
`pixel_size` a length with its unit, `errors` the one line for what cannot be read.
"""
