"""Today's tools on the same jobs: what a founder writes with each, and how `three_jobs` runs it."""
