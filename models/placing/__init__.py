"""Where operations lie: `operations` finds the origin of a group and how well it holds, `cells` averages and
symmetrises cells for pictures."""
