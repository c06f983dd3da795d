"""Rows: where they come from, what is wrong with them, which are train and which test."""
