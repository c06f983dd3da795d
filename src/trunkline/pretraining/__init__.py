"""Learning from rows without labels: a trunk from texts, or a start for an image network from pictures."""
