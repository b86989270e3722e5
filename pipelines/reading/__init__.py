"""Files to images: `images` reads anything, `files` by its suffix.

`pillow`, `raw` and `files` read in this process; `tiff`, `hdf5`, `em`, `afm` and `gwy` a format each in another, since
their readers may crash or hang on a damaged file: `apart` asks, `worker` answers, through `foreign`. `hdf5_bounds` and
`em_headers` say what of a file is not believed. `names` expands folders, patterns and lists, `picture` is what a reader
gives, `masked` leaves out what is masked, `scaling` makes it floats, `pixel_size` is a length with its unit, `errors`
the one line for what cannot be read.
"""
