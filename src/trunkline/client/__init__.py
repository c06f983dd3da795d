"""A typed client of the server, sync and async: `trunkline.Client`, `trunkline.AsyncClient`."""

from __future__ import annotations

from trunkline.client.client import AsyncClient as AsyncClient
from trunkline.client.client import Client as Client
from trunkline.client.errors import JobError as JobError
from trunkline.client.errors import OverloadedError as OverloadedError
from trunkline.client.errors import ProblemError as ProblemError
from trunkline.client.errors import UnreachableError as UnreachableError
from trunkline.client.results import Answer as Answer
from trunkline.client.results import Job as Job
from trunkline.client.results import ProductInfo as ProductInfo
