-- Every table of the user's with rows of its own: partitions too, extensions' members not.
--
-- A tree that is partitioned by the hash of an enum (or of any type of the user's) is one table here, its
-- topmost such root. The hash goes by oids, which a restore makes anew, so its rows may land in other
-- partitions: pg_dump loads them through the root, and only the whole can be counted.
with unstable as (
    select p.partrelid as oid
      from pg_catalog.pg_partitioned_table p
     where p.partstrat = 'h'
       and exists (select 1
                     from pg_catalog.unnest(p.partattrs::int2[]) key (attnum)
                     left join pg_catalog.pg_attribute a on a.attrelid = p.partrelid and a.attnum = key.attnum
                     left join pg_catalog.pg_type t on t.oid = a.atttypid
                    where key.attnum = 0
                       or t.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace)
),
wanted as (
    select c.*, c.relkind = 'p' as is_tree
      from pg_catalog.pg_class c
     where c.relpersistence <> 't'
       and (c.relkind = 'r' or c.oid in (select oid from unstable))
       and not exists (select 1
                         from pg_catalog.pg_partition_ancestors(c.oid) up
                         join unstable on unstable.oid = up.relid
                        where up.relid <> c.oid)
       and not exists (select 1
                         from pg_catalog.pg_depend d
                        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                          and d.objid = c.oid
                          and d.deptype = 'e')
)
select n.nspname as schema,
       c.relname as name,
       c.is_tree,
       size.heap_bytes,
       size.heap_bytes / s.page_bytes as heap_pages,
       coalesce(pg_catalog.pg_relation_size(nullif(c.reltoastrelid, 0), 'main'), 0) as toast_bytes,
       s.page_bytes,
       not c.is_tree and am.amname = 'heap' and columns.names is not null as splittable,
       coalesce(columns.names, '{}') as column_names,
       coalesce(columns.types, '{}') as column_types
  from wanted c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_am am on am.oid = c.relam
 cross join (select pg_catalog.current_setting('block_size')::bigint as page_bytes) s
 -- Of a tree, its leaves. Without a size: a table that was dropped since, which the lock will tell.
 cross join lateral (
        select coalesce(case when c.is_tree
                             then (select sum(pg_catalog.pg_relation_size(leaf.relid, 'main'))::bigint
                                     from pg_catalog.pg_partition_tree(c.oid) leaf where leaf.isleaf)
                             else pg_catalog.pg_relation_size(c.oid, 'main') end, 0)
               as heap_bytes) size
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
 where n.nspname not in ('pg_catalog', 'information_schema')
   and n.nspname not like 'pg\_toast%' and n.nspname not like 'pg\_temp%'
 order by 1, 2
