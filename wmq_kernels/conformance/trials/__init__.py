"""Programs and inputs that leave nothing out: whole domains, and every boundary of a rounding."""
