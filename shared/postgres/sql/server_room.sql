-- How near a server is to its limits, as seen from one of its databases.
select (select count(*)::int from pg_catalog.pg_stat_activity where backend_type = 'client backend') as connections,
       pg_catalog.current_setting('max_connections')::int
           - pg_catalog.current_setting('superuser_reserved_connections')::int as most_connections,
       -- A snapshot locks every table, and pg_dump looks into each with its indexes.
       (select count(*)::int
          from pg_catalog.pg_class c
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and n.nspname <> 'information_schema' and n.nspname not like 'pg\_%') as tables,
       pg_catalog.current_setting('max_locks_per_transaction')::int
           * (pg_catalog.current_setting('max_connections')::int
              + pg_catalog.current_setting('max_prepared_transactions')::int) as most_locks
