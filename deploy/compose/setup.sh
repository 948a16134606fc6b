#!/bin/sh
# What a root needs before the other services begin. The environments are those of the image, by links that are renewed
# with each image; what is built later, such as a runtime that containers mount, lies beside the links, on the host.
set -eu
: "${TRAJGEN_ENV_DIR:?the folder of the links}"

for name in harbor-uv litellm-venv; do
    ln -sfn "$(readlink -f "/opt/trajgen-env/$name")" "$TRAJGEN_ENV_DIR/$name"
done
exec trajgen setup --skip-environments
