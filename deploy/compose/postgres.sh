#!/bin/sh
# Postgres for Dagster and the ledger, on a socket and no port. Whoever connects is who the kernel says: its own user,
# which is also that of the platform's processes. So there is no password that could be lost.
set -eu
: "${TRAJGEN_DATABASE:?where the database lies}" "${TRAJGEN_SOCKETS:?where its socket is}"
data="$TRAJGEN_DATABASE/data"

if [ ! -e "$data" ]; then # under its final name it is whole
    making="$TRAJGEN_DATABASE/.making"
    rm -rf "$making"
    initdb --pgdata "$making" --username trajgen --auth-local peer --auth-host reject --encoding UTF8 --locale C.UTF-8
    for name in trajgen dagster; do # the ledger, and Dagster's storage
        echo "CREATE DATABASE $name;" | postgres --single -D "$making" postgres >/dev/null
    done
    sync
    mv "$making" "$data"
fi

exec postgres -D "$data" -c listen_addresses= -c "unix_socket_directories=$TRAJGEN_SOCKETS" \
    -c unix_socket_permissions=0700 -c max_connections=200
