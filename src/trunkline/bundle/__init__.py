"""A product frozen: one folder that a server can answer with, and the one file it travels in.

`freeze` writes the folder, `Bundle.open` verifies and reads it, `export_bundle` and
`import_bundle` move it between machines. Nothing here is ever unpickled.
"""

from trunkline.bundle.archive import export_bundle as export_bundle
from trunkline.bundle.archive import import_bundle as import_bundle
from trunkline.bundle.folder import Bundle as Bundle
from trunkline.bundle.freeze import freeze as freeze
from trunkline.bundle.manifest import FORMAT as FORMAT
from trunkline.bundle.manifest import Manifest as Manifest
from trunkline.bundle.manifest import product_in as product_in
