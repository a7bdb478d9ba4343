-- What the role of source.sql, or of source-by-schema.sql, needs besides so that snapshots read only what changed.
-- For PostgreSQL 17 and later; on older ones it does nothing.
--
-- Run it as a superuser, in each database to protect:
--
--     psql -d shop -f deploy/sql/source-incremental.sql
--     psql -d shop -c 'alter system set summarize_wal = on' -c 'select pg_reload_conf()'
--
-- The server's record of which pages changed reaches up to its last checkpoint: the role may ask for one. Which pages
-- changed everybody may read, unless that was revoked.
do $$
begin
    if pg_catalog.current_setting('server_version_num')::int >= 170000 then
        grant pg_checkpoint to snapfleet_source;
        grant execute on function pg_catalog.pg_available_wal_summaries() to snapfleet_source;
        grant execute on function pg_catalog.pg_wal_summary_contents(bigint, pg_lsn, pg_lsn) to snapfleet_source;
    end if;
end $$;
