-- One thing that a user has made in this database: a relation with or without rows, or a large object.
select *
  from (select pg_catalog.format('%I.%I', n.nspname, c.relname) as what
          from pg_catalog.pg_class c
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'm', 'v', 'f', 'S')
           and c.relpersistence <> 't'
           and n.nspname not in ('pg_catalog', 'information_schema')
           and n.nspname not like 'pg\_toast%' and n.nspname not like 'pg\_temp%'
           and not exists (select 1
                             from pg_catalog.pg_depend d
                            where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                              and d.objid = c.oid
                              and d.deptype = 'e')
         order by c.relkind = 'S', 1
         limit 1) relation
 union all
select *
  from (select 'large object ' || oid from pg_catalog.pg_largeobject_metadata limit 1) large_object
 limit 1
