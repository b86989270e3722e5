"""MLflow: `store` opens it, `runs` records a training through `records` and `sender`, `artifacts` what is kept of
models, `registry` and `compare` choose among them, `ui` serves the page."""
