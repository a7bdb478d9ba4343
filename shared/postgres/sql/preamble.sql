-- What pg_dump sets on its own session before it reads, and why we do the same:
--   no timeout of the role or database may cut a copy or the idle holder of the snapshot;
--   a reader that row-level security would filter fails instead of copying fewer rows;
--   what is reported as done is on the disk, whatever the server's crash may lose of others' commits;
--   names resolve to what the catalog says, whatever search_path the role has;
--   values have one text form, and text and expressions are read as they were written;
--   scans begin at the first page and are never parallel, so that equal pages give equal bytes.
-- Settings that this server does not have are left out. What could cut this very query is
-- lifted before it.
set statement_timeout = 0;
select case when pg_catalog.current_setting('server_version_num')::int >= 170000
            then pg_catalog.set_config('transaction_timeout', '0', false) end;
select pg_catalog.set_config(wanted.name, wanted.value, false)
  from (values ('statement_timeout', '0'),
               ('lock_timeout', '0'),
               ('idle_in_transaction_session_timeout', '0'),
               ('idle_session_timeout', '0'),
               ('synchronous_commit', case when pg_catalog.current_setting('synchronous_commit') = 'off' then 'local' end),
               ('row_security', 'off'),
               ('search_path', ''),
               ('restrict_nonsystem_relation_kind', 'view, foreign-table'),
               ('DateStyle', 'ISO, YMD'),
               ('IntervalStyle', 'postgres'),
               ('extra_float_digits', '3'),
               ('bytea_output', 'hex'),
               ('TimeZone', 'UTC'),
               ('lc_monetary', 'C'),
               ('array_nulls', 'on'),
               ('transform_null_equals', 'off'),
               ('xmloption', 'content'),
               ('quote_all_identifiers', 'off'),
               ('synchronize_seqscans', 'off'),
               ('max_parallel_workers_per_gather', '0'),
               ('default_transaction_read_only', 'off')) as wanted (name, value)
  join pg_catalog.pg_settings setting on pg_catalog.lower(setting.name) = pg_catalog.lower(wanted.name)
 where wanted.value is not null
