"""`trunkline serve`."""

from __future__ import annotations

from pathlib import Path

import click

from trunkline.commands.group import FOLDER, as_json, main, registry_option
from trunkline.engines.batching import ROWS, ROWS_VARIABLE, TOKENS, TOKENS_VARIABLE
from trunkline.engines.threads import THREADS_VARIABLE


@main.command()
@FOLDER
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that answer.")
@click.option("--certificate", type=click.Path(path_type=Path), help="TLS: certificate chain, a PEM file.")
@click.option("--key", type=click.Path(path_type=Path), help="TLS: its private key, a PEM file.")
@click.option("--store", help="Address of the store of keys; default: the one in FOLDER, if there is one.")
@registry_option
@click.option("--threads", type=click.IntRange(1, 64), help="Cores that each process computes on; default: measured.")
@click.option("--batch-rows", type=click.IntRange(*ROWS), help="Rows in a batch, at most; default: measured.")
@click.option("--batch-tokens", type=click.IntRange(*TOKENS), help="Tokens in a batch, at most; default: measured.")
@click.option("--on", "on", type=click.Choice(["ray"]), help="Compute on replicas of a Ray cluster: $RAY_ADDRESS, else one made here.")
@click.option("--replicas", metavar="N-M", default="1-4", help="Of each trunk, at least and at most (with --on); default: 1-4.")
@click.option("--traces", metavar="URL", help="Collector of OpenTelemetry traces, OTLP over HTTP; default: OTEL_* variables'.")
@as_json
def serve(
    folder: Path,
    host: str,
    port: int,
    workers: int,
    certificate: Path | None,
    key: Path | None,
    store: str | None,
    registry: str | None,
    threads: int | None,
    batch_rows: int | None,
    batch_tokens: int | None,
    on: str | None,
    replicas: str,
    traces: str | None,
    json_: bool,
) -> None:
    """Serve every product below FOLDER: API, docs at /docs."""
    from trunkline.serve.run import serve as run

    given = {THREADS_VARIABLE: threads, ROWS_VARIABLE: batch_rows, TOKENS_VARIABLE: batch_tokens}
    fixed = {name: number for name, number in given.items() if number is not None}
    cluster = None
    if on is not None:
        from trunkline.serve.on_ray.cluster import RayCluster

        cluster = RayCluster(folder, replicas, threads)
    run(folder, host, port, workers, certificate, key, store, registry, json_, fixed, traces, cluster)
