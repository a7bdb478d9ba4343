-- Every table of the user's with rows of its own: partitions too, extensions' members not.
select n.nspname as schema,
       c.relname as name,
       pg_catalog.pg_relation_size(c.oid, 'main') as heap_bytes,
       pg_catalog.pg_relation_size(c.oid, 'main') / s.page_bytes as heap_pages,
       coalesce(pg_catalog.pg_relation_size(nullif(c.reltoastrelid, 0), 'main'), 0) as toast_bytes,
       s.page_bytes,
       am.amname = 'heap' and columns.names is not null as splittable,
       coalesce(columns.names, '{}') as column_names,
       coalesce(columns.types, '{}') as column_types
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_am am on am.oid = c.relam
 cross join (select pg_catalog.current_setting('block_size')::bigint as page_bytes) s
  left join lateral (
        select array_agg(a.attname::text order by a.attnum) as names,
               array_agg(tn.nspname || '.' || coalesce(e.typname, t.typname) order by a.attnum) as types
          from pg_catalog.pg_attribute a
          join pg_catalog.pg_type t on t.oid = a.atttypid
          left join pg_catalog.pg_type e on e.oid = t.typelem and t.typcategory = 'A'
          join pg_catalog.pg_namespace tn on tn.oid = coalesce(e.typnamespace, t.typnamespace)
         where a.attrelid = c.oid
           and a.attnum > 0
           and not a.attisdropped
           and a.attgenerated = '') columns on true
 where c.relkind = 'r'
   and c.relpersistence <> 't'
   and n.nspname not in ('pg_catalog', 'information_schema')
   and n.nspname not like 'pg\_toast%' and n.nspname not like 'pg\_temp%'
   and not exists (select 1
                     from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                      and d.objid = c.oid
                      and d.deptype = 'e')
 order by 1, 2
