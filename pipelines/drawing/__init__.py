"""Lines and symbols: `symbols` of International Tables, `overlay` on an image, `diagram` of a group, `charts`."""
