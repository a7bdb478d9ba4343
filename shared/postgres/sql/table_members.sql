-- Everything that moves with some tables: the tables, their partitions to the last, and of all of these the
-- indexes, the sequences that they own, and the extended statistics.
with tables as (
    select oid from pg_catalog.unnest(%(roots)s::pg_catalog.oid[]) root (oid)
    union
    select tree.relid
      from pg_catalog.unnest(%(roots)s::pg_catalog.oid[]) root (oid)
     cross join pg_catalog.pg_partition_tree(root.oid) tree
),
members as (
    select 'table' as kind, oid from tables
    union all
    select 'index', indexrelid from pg_catalog.pg_index where indrelid in (select oid from tables)
    union all
    select 'sequence', s.oid
      from pg_catalog.pg_depend d
      join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
     where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
       and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
       and d.deptype in ('a', 'i')
       and d.refobjid in (select oid from tables)
)
select m.kind,
       c.oid::bigint as oid,
       n.nspname as schema,
       c.relname as name,
       c.relkind::text as relkind,
       -- As the list of an archive spells it, line breaks and all.
       pg_catalog.convert_to(
           pg_catalog.translate(
               case c.relkind when 'f' then 'FOREIGN TABLE ' else 'TABLE ' end
                   || n.nspname || ' ' || c.relname || ' ' || pg_catalog.pg_get_userbyid(c.relowner),
               E'\n\r', '  '),
           pg_catalog.getdatabaseencoding()) as listed
  from members m
  join pg_catalog.pg_class c on c.oid = m.oid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
union all
select 'statistics', s.oid::bigint, n.nspname, s.stxname, '', ''
  from pg_catalog.pg_statistic_ext s
  join pg_catalog.pg_namespace n on n.oid = s.stxnamespace
 where s.stxrelid in (select oid from tables)
 order by 2
