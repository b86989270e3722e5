"""Datasets on disk: `export` in the `formats`, `preview` sheets to look at, `evidence` what trainings read of them;
`workers` shares the work among processes."""
