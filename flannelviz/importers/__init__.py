"""Outside text becomes values; what the text does not say stays unknown."""
