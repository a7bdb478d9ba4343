-- Whatever is called so, of any kind, outside of the system's schemas and ours.
select c.oid::bigint as oid, n.nspname as schema, c.relname as name, c.relkind::text as relkind
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relname = %(name)s
   and (%(schema)s::text is null or n.nspname = %(schema)s)
   and c.relpersistence <> 't'
   and n.nspname not in ('pg_catalog', 'information_schema', 'snapfleet_load')
   and n.nspname not like 'pg\_toast%%' and n.nspname not like 'pg\_temp%%'
 order by n.nspname
