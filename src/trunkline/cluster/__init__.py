"""A Ray cluster, for whatever computes on one: serving, training, encoding."""
