"""Guest modules import each other by bare names, as they lie flat beside a job: here they are put on the path so."""

import sys

from trajgen_assets.core.guest import PACKAGE

sys.path.append(str(PACKAGE / "guest" / "harbor"))
