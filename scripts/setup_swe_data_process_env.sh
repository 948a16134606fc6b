#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/trajgen" setup-envs --env swe_data_process "$@"
