"""The command line: `app` has the commands, `options` what they share, `hier.screen` what they show.

A file each: `predict`, `explain`, `map`; `generate`, `diagram` (of ``hier tree``); `train`, `evaluate`, `calibrate`,
`benchmark`. `registry` has ``compare``, ``promote`` and ``assemble``.
"""
