"""Installs the third-party package of tests/plugin, so that every contract here runs over its parts too.

At import, not in a fixture: the contracts ask the doors for their names while pytest collects them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.plugin.installed import install_here

_SITE = tempfile.TemporaryDirectory(prefix="trunkline-plugin-")  # removed when the process ends
install_here(Path(_SITE.name))
