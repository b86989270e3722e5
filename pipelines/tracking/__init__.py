"""MLflow: `store` opens it (`database` makes its file), `runs` records a training through `records` and `sender`,
`machine` says what it ran on, `artifacts` what is kept of models, `registry` and `compare` choose among them,
`registry_files` downloads them, `ui` serves the page. `errors` has the one line for a store that fails."""
