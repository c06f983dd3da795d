"""What the server survives: each fault is done to the real process under real load, and counted.

    python -m benchmarks.faults [NAMES]

A script holds faults that belong together; `ground` what they share. Results: results/faults.json. Tests under
tests/serve hold the small invariants; here is the whole server with a product that was learned.
"""
