-- Statements that take down what stands on rows, in this order: all foreign keys and triggers, which would look at
-- rows that are gone for a while; and of the named tables the constraints with an index, and the other indexes.
with named as (
    select c.oid
      from pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      join rows from (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[])) as t (schema, name)
        on t.schema = n.nspname and t.name = c.relname
)
select 1 as turn, conname::text as name,
       pg_catalog.format('alter table %%s drop constraint %%I', conrelid::pg_catalog.regclass, conname) as statement
  from pg_catalog.pg_constraint
 where contype = 'f' and conparentid = 0
union all
select 2, tgname::text, pg_catalog.format('drop trigger %%I on %%s', tgname, tgrelid::pg_catalog.regclass)
  from pg_catalog.pg_trigger
 where not tgisinternal and tgparentid = 0
union all
select 3, conname::text,
       pg_catalog.format('alter table %%s drop constraint %%I', conrelid::pg_catalog.regclass, conname)
  from pg_catalog.pg_constraint
 where contype in ('p', 'u', 'x') and conrelid in (select oid from named)
union all
select 4, i.indexrelid::pg_catalog.regclass::text,
       pg_catalog.format('drop index %%s', i.indexrelid::pg_catalog.regclass)
  from pg_catalog.pg_index i
 where i.indrelid in (select oid from named)
   and not exists (select from pg_catalog.pg_constraint k
                    where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
 order by turn, name
