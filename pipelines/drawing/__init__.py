"""Lines and symbols: `symbols` of International Tables, `overlay` on an image, what stands `beside` one that is
refused, `regions` of one, `diagram` of a group, `charts`; `lettering` of captions and scale bars; `colours`.
"""
