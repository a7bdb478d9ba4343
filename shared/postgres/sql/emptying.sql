-- Statements that empty every table with rows but the named ones, each by itself (what lies below it in a tree of
-- partitions or of inheritance stays), and every materialized view.
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
union all
select pg_catalog.format('refresh materialized view %%s with no data', c.oid::pg_catalog.regclass)
  from pg_catalog.pg_class c
 where c.relkind = 'm' and c.relispopulated
