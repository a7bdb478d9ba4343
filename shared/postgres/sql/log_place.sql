-- Which life of which server and database this is, and how far its log is. Not in recovery.
select (select system_identifier::text from pg_catalog.pg_control_system()) as system_identifier,
       d.oid::bigint as database_oid,
       ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(place.lsn), 1, 8))::bit(32)::bigint as timeline,
       pg_catalog.pg_postmaster_start_time() as started_at,
       (place.lsn - '0/0'::pg_catalog.pg_lsn)::bigint as lsn
  from pg_catalog.pg_database d,
       (select pg_catalog.pg_current_wal_insert_lsn() as lsn) place
 where d.datname = pg_catalog.current_database()
