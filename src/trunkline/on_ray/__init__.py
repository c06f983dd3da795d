"""One product's work over the machines of a Ray cluster: its training, and the features of its rows."""
