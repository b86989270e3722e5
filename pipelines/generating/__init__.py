"""Datasets on disk: `export` by `shards` in the `formats`, with their `manifest`, `preview` sheets to look at,
`evidence` what trainings read of them, made by `parts` and read from `stored` rows; `workers` shares the work among
processes, `processes` are those of torchrun. `release` makes test sets, with `parquet` tables and `croissant`
metadata."""
