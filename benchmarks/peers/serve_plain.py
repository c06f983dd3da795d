"""A product a route, each with a session of its own: uvicorn serve_plain:app, products below $PRODUCTS.

One request is one encode and that product's head, in a pool as wide as the cores.
"""

# mypy: ignore-errors
import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
from model import Model
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

MODELS = {folder.name: Model(folder) for folder in Path(os.environ["PRODUCTS"]).iterdir()}
POOL = ThreadPoolExecutor(len(os.sched_getaffinity(0)))


async def predict(request):
    model = MODELS[request.path_params["name"]]
    text = orjson.loads(await request.body())["text"]
    (answer,) = await asyncio.get_running_loop().run_in_executor(POOL, model.answers, [text])
    return Response(orjson.dumps(answer), media_type="application/json")


app = Starlette(routes=[Route("/{name}", predict, methods=["POST"])])
