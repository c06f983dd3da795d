"""product.toml <-> Spec. Every default of Trunkline lives in `model.py` and nowhere else."""

from trunkline.spec.load import dump_spec as dump_spec
from trunkline.spec.load import load_spec as load_spec
from trunkline.spec.load import parse_spec as parse_spec
from trunkline.spec.model import Data as Data
from trunkline.spec.model import Gate as Gate
from trunkline.spec.model import MethodChoice as MethodChoice
from trunkline.spec.model import Proof as Proof
from trunkline.spec.model import Query as Query
from trunkline.spec.model import Range as Range
from trunkline.spec.model import Ranges as Ranges
from trunkline.spec.model import Serve as Serve
from trunkline.spec.model import Spec as Spec
from trunkline.spec.model import Tune as Tune
