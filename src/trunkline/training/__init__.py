"""One training loop for every network: language models and adapters of trunks use it too.

A `Recipe` says what is learned (a module, batches of rows, a loss), `LoopSettings` how. Device, precision and
processes are Accelerate's (Apache-2.0; peft and transformers use it anyway). Needs the `train` extra.
"""
