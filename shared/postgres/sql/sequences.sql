select n.nspname as schema, c.relname as name, s.seqincrement > 0 as ascending, s.seqcycle as cycles
  from pg_catalog.pg_sequence s
  join pg_catalog.pg_class c on c.oid = s.seqrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relpersistence <> 't'
   and not exists (select 1
                     from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                      and d.objid = c.oid
                      and d.deptype = 'e')
 order by 1, 2
