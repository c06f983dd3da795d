"""A product's settings searched by trials on its training rows: what, how a trial is scored, what is kept of it.

space -> trial -> study (what was tried, on disk) -> search (the loop) -> found (tune.json) -> write (product.toml)
"""
