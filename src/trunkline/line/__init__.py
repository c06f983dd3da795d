"""From a checked folder to a bundle, and what goes beside it: `train` walks the stations and has no logic of its own."""
