"""Image files as `docker save` writes them, made from nothing: one layer with one file."""

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path


def write_image_tar(path: Path, names: Sequence[str], content: str = "x") -> str:
    """Write an image called `names`, which may be none; returns its id."""
    layer = _tar({"hello": content.encode()})
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest]}}
    ).encode()
    image_id = hashlib.sha256(config).hexdigest()
    manifest = [{"Config": f"{image_id}.json", "RepoTags": list(names) or None, "Layers": ["layer.tar"]}]
    files = {f"{image_id}.json": config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_tar(files))
    return f"sha256:{image_id}"


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
