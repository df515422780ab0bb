"""Leave nothing out: programs and inputs for whole domains and every boundary of a rounding."""
