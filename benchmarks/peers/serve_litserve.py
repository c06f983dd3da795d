"""LitServe with an API a product, each a worker process, as its documentation serves several models.

serve_litserve.py PORT MAX_BATCH, products below $PRODUCTS. As many HTTP servers as cores: left alone it starts
one a worker.
"""

# mypy: ignore-errors
import os
import sys
from pathlib import Path

import litserve
from model import Model

PORT, MAX_BATCH = map(int, sys.argv[1:])
WAIT_S = 0.01 if MAX_BATCH > 1 else 0.0


class Product(litserve.LitAPI):
    def __init__(self, folder):
        super().__init__(api_path=f"/{folder.name}", max_batch_size=MAX_BATCH, batch_timeout=WAIT_S)
        self.folder = folder

    def setup(self, device):
        self.model = Model(self.folder)

    def decode_request(self, request):
        return request["text"]

    def predict(self, texts):
        return self.model.answers(texts) if MAX_BATCH > 1 else self.model.answers([texts])[0]

    def encode_response(self, output):
        return output


if __name__ == "__main__":
    products = [Product(folder) for folder in sorted(Path(os.environ["PRODUCTS"]).iterdir())]
    server = litserve.LitServer(products, accelerator="cpu", workers_per_device=1)
    cores = len(os.sched_getaffinity(0))
    server.run(
        host="127.0.0.1", port=PORT, num_api_servers=cores, log_level="error", generate_client_file=False
    )
