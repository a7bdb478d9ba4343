#!/bin/sh
# Run once by the image: a database of an application, to try things out with. Yours takes its place.
# Its role is what a careful operator gives: it owns the database, may make others and end sessions, no more.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres <<'SQL'
\set app_password `cat "${SECRETS_DIR:-/run/secrets}/sample_app_password"`
create role app login createdb password :'app_password';
grant pg_signal_backend to app;
create database app owner app;
\connect app
set role app;
create table note (id bigint generated always as identity primary key, written_at timestamptz not null, words text not null);
insert into note (written_at, words)
select now() - make_interval(mins => 10000 - i), 'note ' || i || ': ' || repeat(md5(i::text), 4) from generate_series(1, 10000) i;
SQL
