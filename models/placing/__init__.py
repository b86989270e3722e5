"""Where operations lie: `operations` finds the origin of a group and how well it holds, `cells` averages and
symmetrises cells for pictures, and `origins` chooses among equivalent origins. `precise` fits the lattice to all
pixels, with standard uncertainties."""
