"""Bulk jobs: a file of millions of rows is sent once, answered in the background, and its answers fetched later."""
