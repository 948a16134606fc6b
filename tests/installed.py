"""Where the environments lie that `make test` has built. A test that needs one and does not find it fails."""

import os
from pathlib import Path

from trajgen_assets.core.paths import PROJECT

ENV_DIR = Path(os.environ.get("TRAJGEN_ENV_DIR") or PROJECT / "artifacts" / "env")
LITELLM_ENV = Path(os.environ.get("TRAJGEN_LITELLM_ENV") or ENV_DIR / "litellm-venv")
HARBOR_ENV = Path(os.environ.get("TRAJGEN_HARBOR_ENV") or ENV_DIR / "harbor-uv")
