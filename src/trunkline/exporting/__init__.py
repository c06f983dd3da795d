"""A product for a phone or a browser: one ONNX file from numbers to probabilities, and JSON that says what it needs.

The line's end for products that answer where no server is. `portable.py` walks it: a head and its network become one
graph (`own_network.py`, `on_trunk.py`, `graph.py`), which is run and compared with the bundle's own answers.
"""
