-- What stands against reading the summaries of the log, on PostgreSQL 17 and later; null where nothing does.
-- A checkpoint is part of it: the summaries reach up to the last one, and a snapshot lies behind that.
select case
         when pg_catalog.pg_is_in_recovery() then 'the server is in recovery'
         when pg_catalog.current_setting('summarize_wal') <> 'on' then 'summarize_wal is off'
         when not pg_catalog.has_function_privilege('pg_catalog.pg_available_wal_summaries()', 'execute')
           or not pg_catalog.has_function_privilege(
                  'pg_catalog.pg_wal_summary_contents(bigint, pg_catalog.pg_lsn, pg_catalog.pg_lsn)', 'execute')
         then 'the role may not read the summaries of the log'
         when not pg_catalog.pg_has_role('pg_checkpoint', 'usage') then 'the role may not ask for a checkpoint'
       end as obstacle
