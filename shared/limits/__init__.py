"""Limits: how much a caller, and a whole organization, may do in a minute and in a day."""
