-- The server behind the catalog, as its user sees it. Rows are read and written everywhere but in the record of the
-- migrations, which is read, and in the audit, which grows.
select current_setting('server_version_num')::int as server_version,
       pg_database_size(current_database()) as size_bytes,
       (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as connections,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as most_connections,
       (select rolsuper from pg_roles where rolname = current_user) as is_superuser,
       pg_is_in_recovery() as is_standby,
       array(select c.relname::text
               from pg_class c
               join pg_namespace n on n.oid = c.relnamespace
              where n.nspname = 'public' and c.relkind in ('r', 'p')
                and not case
                        when c.relname = 'alembic_version' then has_table_privilege(c.oid, 'select')
                        when c.relname like 'audit%' then has_table_privilege(c.oid, 'select')
                             and has_table_privilege(c.oid, 'insert')
                        else has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
                             and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete')
                        end
              order by 1) as closed
