"""The command line: `app` has the commands, `plain` how they are shown, `options` what they share, `hier.screen` what
they show. `checks` are made before torch is imported.

A file each: `predict`, `explain`, `map`; `generate`, `diagram` (of ``hier tree``); `train`, `config`, `evaluate`,
`calibrate`, `benchmark`, `score`, `export`; `check`. `page` is ``hier app``. `registry` has ``compare``, ``promote``
and ``assemble``. `written` writes results as they pass.
"""
