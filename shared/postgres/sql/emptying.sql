-- Statements that empty every table with rows but the named ones and those of extensions, each by itself: what lies
-- below it in a tree of partitions or of inheritance stays.
select pg_catalog.format('truncate only %%s', c.oid::pg_catalog.regclass) as statement
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r'
   and c.relpersistence <> 't'
   and n.nspname not in ('pg_catalog', 'information_schema')
   and pg_catalog.pg_relation_size(c.oid) > 0
   and not exists (
       select from rows from (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[]))
                as t (schema, name)
        where t.schema = n.nspname and t.name = c.relname)
   and not exists (
       select from pg_catalog.pg_depend d
        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')
 order by c.oid
