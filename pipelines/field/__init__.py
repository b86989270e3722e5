"""Maps of large fields: `places` chooses windows, `measure` answers them, `domains` joins them, `plot` draws."""
