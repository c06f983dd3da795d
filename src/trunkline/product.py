"""A product in Python: the folder with its product.toml, and all that the command line does with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.bundle import Bundle
from trunkline.desk import Desk
from trunkline.errors import BundleError, DataError, SpecError
from trunkline.shelf import Shelf
from trunkline.spec import Spec, load_spec
from trunkline.store.place import registry_at
from trunkline.terminal import SILENT, Progress
from trunkline.types import DataReport, Refused, Row

if TYPE_CHECKING:
    from trunkline.exporting.needs import Needs
    from trunkline.exporting.portable import Target
    from trunkline.proof.tuned import Tuned
    from trunkline.tuning.search import Done

BATCH = 512  # rows answered at a time, so that a file of any size streams


class Product:
    """A product and its bundles. Making one reads nothing.

    folder: where product.toml lies. desk: where compute comes from; products that share a desk
    share its loaded trunks. registry: address of the store that says which version serves, if not the folder.
    """

    def __init__(self, folder: str | Path, desk: Desk | None = None, registry: str | None = None) -> None:
        self.folder = Path(folder)
        self._desk, self._registry = desk, registry

    @cached_property
    def spec(self) -> Spec:
        """Raises SpecError."""
        if self.folder.is_file():
            raise SpecError("this is a file, and a product is a folder", where=str(self.folder), wanted=f"its folder, like {self.folder.parent}")
        return load_spec(self.folder)

    @cached_property
    def desk(self) -> Desk:
        return self._desk or Desk()

    @property
    def shelf(self) -> Shelf:
        """The bundles beside the product, and which of them serves."""
        shelf, registry = Shelf(self.folder), registry_at(self._registry)
        return shelf if registry is None else Shelf(self.folder, registry.of(shelf.name))

    def validate(self, progress: Progress = SILENT) -> DataReport:
        """Check spec and rows; nothing is trained. Raises SpecError, DataError."""
        from trunkline.line import train

        return train.check(self._line(progress)).report

    def train(self, progress: Progress = SILENT, profile: bool = False) -> Bundle:
        """Check, learn, prove, judge and pack; nothing goes live. See `trunkline.line.train.train`.

        Of several processes (`trunkline.training.parallel`) the first does this while the others `follow`. profile: see
        `trunkline.line.profile`; what it found lies below .trunkline.
        """
        from trunkline.line import train
        from trunkline.line.profile import profiled
        from trunkline.training import parallel

        line = self._line(progress)
        with parallel.leading(), profiled(line) if profile else nullcontext(line) as watched:
            return train.train(watched)

    def follow(self) -> None:
        """Learn with the first process what it learns. Raises SpecError, TrunklineError."""
        from trunkline.line.follow import follow

        follow(self._line(SILENT))

    def tune(
        self, progress: Progress = SILENT, *, jobs: int | None = None, trials: int | None = None, seconds: float | None = None
    ) -> Done:
        """Search the settings on the training rows, or go on with a search. See `trunkline.tuning.search.tune`."""
        from trunkline.tuning.search import tune

        return tune(self.spec, self.folder, self.desk, progress, jobs=jobs, trials=trials, seconds=seconds)

    def write_tuned(self, tuned: Tuned) -> bool:
        """The best settings of a search into product.toml; False where the product as it is was best. Raises SpecError."""
        from trunkline.tuning.write import write_choice

        if tuned.gain is None:
            return False
        write_choice(self.folder / "product.toml", tuned.trial(tuned.best).choice)
        self.__dict__.pop("spec", None)
        return True

    def evaluate(
        self, data: str | Path | None = None, version: str | None = None, progress: Progress = SILENT
    ) -> dict[str, Any]:
        """The proof of a bundle (the newest) on other rows: the report as plain values.

        data: a csv, jsonl or parquet file with the product's columns and its label. Without it the
        report that was made at training is given: the test rows are looked at once.
        """
        bundle = self.bundle(version)
        if data is None:
            return dict(bundle.report)
        from trunkline.line import train

        return train.evaluate(self._line(progress), bundle, Path(data)).as_dict()

    def shrink(
        self, version: str | None = None, loss: float = 0.5, only: Sequence[str] = (), calibration: Path | None = None,
        rows: Path | None = None, progress: Progress = SILENT,
    ) -> Any:  # fmt: skip
        """Smaller forms of a bundle (the newest) tried; the best of them becomes a bundle, and nothing goes live: see
        `trunkline.shrink.run.shrink`, whose `Outcome` this is.

        loss: points that may be lost. calibration: a file of rows with answers; rows: one of rows without.
        """
        from trunkline.data.read import open_path, read_rows
        from trunkline.inputs.row import RowReader
        from trunkline.shrink.run import shrink

        bundle = self.bundle(version)
        line = replace(self._line(progress), spec=bundle.spec)
        known = None if calibration is None else read_rows(bundle.spec, open_path(calibration), bundle.labels, line.task)[0]
        read = RowReader(bundle.spec.inputs).read
        found = [] if rows is None else [read(row) for row in self.rows_of(rows)]
        refused = [row for row in found if isinstance(row, Refused)]
        if refused and len(refused) == len(found):
            raise DataError("none of these rows can be read", where=str(rows), found=f"{len(found):,} rows; of the first: {refused[0].message}")
        more = [row for row in found if not isinstance(row, Refused)]
        return shrink(line, bundle, loss, only, known, more)

    def predict(self, rows: Iterable[Row], version: str | None = None) -> Iterator[dict[str, Any]]:
        """One answer a row, in order, as the server gives them; rows are read as they are needed."""
        from trunkline.serve.answer import predict
        from trunkline.serve.catalog import ready

        bundle = self.bundle(version)
        served = ready(bundle)
        ask, left = self.desk.ask(own=bundle.engines), iter(rows)
        start = 0
        while batch := list(islice(left, BATCH)):
            yield from predict(served, batch, ask, start=start)
            start += len(batch)

    def why(
        self, rows: Iterable[Row], version: str | None = None, *, label: str | None = None, method: str = "auto",
        budget: int | None = None, top: int = 10,
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """Answers as of `predict`, each with `why`: the parts of its row that pushed it; or with `why_not` (docs/why.md).

        label: to explain another one than the answer's. method: auto, sum, occlusion, cam, lime. budget: rows
        computed for a reason at most. top: reasons, the heaviest. Raises NotExplainedError where product.toml, now or at training,
        says explain = false, or the record says that its owner switched them off, RequestError for what can't be asked.
        """
        from trunkline.explain.subject import switched_off
        from trunkline.explain.why import Asked
        from trunkline.serve.catalog import ready
        from trunkline.serve.why import why

        asked, bundle = Asked(label, method, budget, top), self.bundle(version)
        if not self.spec.explain or self.shelf.record().silent:
            raise switched_off(bundle.name)
        served, ask = ready(bundle), self.desk.ask_uncached(own=bundle.engines)  # rows that nobody sends again
        for at, row in enumerate(rows):
            yield from why(served, [row], ask, asked, start=at).answers

    def bundle(self, version: str | None = None) -> Bundle:
        """A bundle by version, or the newest. Raises BundleError where there is none, SpecError where there is no product."""
        chosen = version or self.shelf.latest()
        if chosen is None:
            load_spec(self.folder)  # where there is no product at all, that is what is said
            raise BundleError(
                "the product has no bundle yet", where=str(self.folder), hint=f"trunkline train {self.folder}"
            )
        return self.shelf.open(chosen)

    def deploy(self, version: str | None = None, override: str | None = None) -> Bundle:
        """Name the bundle that serves (the newest). `override`: a reason to serve one whose gate failed."""
        chosen = self.bundle(version).version
        return self.shelf.set_live(chosen, override=override is not None, reason=override)

    def export(self, path: Path | None = None, version: str | None = None, with_rows: bool = False) -> Path:
        """A bundle (the newest) as one file; customers' rows stay out of it unless asked for."""
        from trunkline.bundle import export_bundle

        bundle = self.bundle(version)
        target = path or Path(f"{bundle.name}.tlb")
        export_bundle(bundle, target, with_rows=with_rows)
        return target

    def export_for(self, target: Target, folder: Path, version: str | None = None) -> Needs:
        """A bundle (the newest) for a phone or a browser, in a folder that must not exist: what its product.json says.
        See `exporting.portable.export_for`."""
        from trunkline.exporting.portable import export_for

        return export_for(self.bundle(version), target, folder, self.desk)

    def rows_of(self, file: Path) -> Iterator[Row]:
        """Rows of a file for `predict`, streamed; a missing input column is a DataError at the first."""
        from trunkline.data.paths import rows_of
        from trunkline.data.read import open_path
        from trunkline.data.rows import checked

        return checked(rows_of(open_path(file), self.spec.inputs), list(self.spec.inputs), file.name)

    def row_of(self, cell: str) -> Row:
        """A row of a product with one input column: a text, or the path of a picture. Raises DataError."""
        from trunkline.inputs.blob import DataFile
        from trunkline.inputs.file_kinds import SUFFIXES

        column = self.only_input()
        named = self.spec.inputs[column] in SUFFIXES.values() and not cell.startswith("data:")
        return {column: DataFile(Path(cell)) if named else cell}

    def only_input(self) -> str:
        """The input column of a product that has just one. Raises DataError for several."""
        if len(self.spec.inputs) > 1:
            raise DataError(
                "this product reads more than one column",
                where=str(self.folder / "product.toml"),
                wanted=", ".join(self.spec.inputs),
                hint="give rows: --file rows.csv, or JSON lines on stdin",
            )
        return next(iter(self.spec.inputs))

    def _line(self, progress: Progress) -> Any:
        from trunkline.line.train import Line

        return Line(self.spec, self.folder, self.desk, progress, kept=self.shelf.kept)


def import_product(file: Path, into: Path) -> tuple[Path, Bundle]:
    """Put an exported bundle on the shelf of its product below `into`: (product folder, bundle).

    A product that isn't there yet is made, with the spec from the bundle but without rows. Raises
    BundleError for a damaged or unsafe file, or a version that is there already.
    """
    import tempfile

    from trunkline.bundle import import_bundle
    from trunkline.files import write_atomic
    from trunkline.spec import dump_spec
    from trunkline.spec.reference import to_toml

    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".import-") as stage:
        bundle = import_bundle(file, Path(stage) / "bundle")
        folder = into / bundle.name
        taken = Shelf(folder).take(bundle)
        if not (folder / "product.toml").exists():
            write_atomic(folder / "product.toml", to_toml(dump_spec(taken.spec)).encode())
        return folder, taken

