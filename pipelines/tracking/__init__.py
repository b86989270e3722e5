"""MLflow: `store` opens it (`database` makes its file), `runs` records a training through `records` and `sender`,
`evaluations` an evaluation, `machine` says what it ran on, `artifacts` what is kept of models, `described` what is said
of them, `registry` names them, `compare` and `promotion` choose among them, `registry_files` downloads them, `view` is
how MLflow shows runs, `ui` serves that, `page` writes a page of its own. `errors` has the one line for a store that
fails."""
