"""The server: catalog of bundles -> answers over HTTP. Imports nothing of the training side.

`run.serve(folder)` is the way in; `app.build(catalog)` gives the bare ASGI application.
"""
