"""Files to images: `images` reads anything, `files` by its suffix.

`pillow`, `raw`, `tars` and `files` read in this process, `calibrated` takes what other libraries hold in memory.
`tiff`, `hdf5`, `zarr_store`, `em`, `afm`, `probe`, `gwy` and `matlab` read their formats in another process, since
their readers may crash or hang on a damaged file: `apart` asks, `worker` answers, through `foreign`. `hdf5_bounds` and
`em_headers` say what of a file is not believed. `names` expands folders, patterns and lists, `picture` is what a reader
gives, `scaling` makes it floats, `pixel_size` is a length with its unit, `oblong` makes pixels square, `errors` the one
line for what cannot be read.

`left_out` says what of an image is not judged: `bands` at its edges, `scale_bars` in it, what is hidden by a mask;
`masked` is for arrays that come with a mask.
"""
