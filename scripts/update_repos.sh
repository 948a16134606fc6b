#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/trajgen" update-repos "$@"
