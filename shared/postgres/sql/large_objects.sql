-- All large objects: how many, how large together, and of those whose oid's hash %(mask)s takes, the sum of
-- the hashes of their content. Read in pieces, so that one of terabytes is no larger than a piece: the size is
-- where the end of the opened object is.
with sized as materialized (
    select oid, pg_catalog.lo_lseek64(fd, 0, 2) as bytes, fd
      from (select oid, pg_catalog.lo_open(oid, 262144) as fd from pg_catalog.pg_largeobject_metadata offset 0) opened
    offset 0
),
closed as materialized (
    select oid, bytes, pg_catalog.lo_close(fd) as closed from sized offset 0
),
pieces as (
    select pg_catalog.hashtextextended(
               pg_catalog.concat_ws(' ', oid, at, pg_catalog.encode(pg_catalog.sha256(pg_catalog.lo_get(oid, at, 16777216)), 'hex')),
               0) as hash
      from closed, pg_catalog.generate_series(0, greatest(bytes - 1, 0), 16777216) at
     where pg_catalog.hashoid(oid) & %(mask)s::int = 0
)
select count(*) as count,
       coalesce(sum(bytes), 0)::bigint as total_bytes,
       (select coalesce(sum(hash), 0)::text from pieces) as digest
  from closed
