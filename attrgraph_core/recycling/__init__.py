"""Renewing neurons that do little, so that a network keeps able to learn, and figures that show whether it is."""
