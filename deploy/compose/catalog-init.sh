#!/bin/sh
# Run once by the image, in the empty database of the catalog: its two roles, with their passwords.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f "${SQL_DIR:-/sql}/catalog.sql"
# psql reads the passwords itself: in its argument list every user of the machine could.
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
\set owner_password `cat "${SECRETS_DIR:-/run/secrets}/catalog_owner_password"`
\set fleet_password `cat "${SECRETS_DIR:-/run/secrets}/catalog_fleet_password"`
alter role snapfleet_owner password :'owner_password';
alter role snapfleet_fleet password :'fleet_password';
SQL
