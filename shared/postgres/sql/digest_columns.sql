-- The columns whose values make a row's digest, by name, and of which of PostgreSQL's own types each is, empty for
-- any other. Stored generated ones are among them; virtual ones are stored nowhere.
select n.nspname as schema,
       c.relname as name,
       array_agg(a.attname::text order by a.attname) as names,
       array_agg(case when t.typnamespace = 'pg_catalog'::regnamespace then t.typname::text else '' end
                 order by a.attname) as types
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_type t on t.oid = a.atttypid
 where c.relkind in ('r', 'p')
   and c.relpersistence <> 't'
   and c.oid >= 16384
   and a.attnum > 0
   and not a.attisdropped
   and a.attgenerated <> 'v'
 group by 1, 2
