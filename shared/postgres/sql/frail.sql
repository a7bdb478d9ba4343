-- Tables whose rows are looked at when they are loaded by what may find another answer today: a domain, which may have
-- a check of its own, a name of another object, or a function that is not PostgreSQL's, which may read other tables.
select n.nspname as schema, c.relname as name
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r'
   and (exists (select from pg_catalog.pg_attribute a
                  join pg_catalog.pg_type t on t.oid = a.atttypid
                  left join pg_catalog.pg_type e on e.oid = t.typelem and t.typcategory = 'A'
                 where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                   and ('d' in (t.typtype, e.typtype) or coalesce(e.typname, t.typname) like 'reg%'))
        or exists (select from pg_catalog.pg_depend d
                    where d.refobjid >= 16384
                      and d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass,
                                           'pg_catalog.pg_operator'::pg_catalog.regclass)
                      and (d.classid, d.objid) in (
                          select 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid
                            from pg_catalog.pg_constraint k where k.conrelid = c.oid
                          union all
                          select 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid
                            from pg_catalog.pg_index i where i.indrelid = c.oid
                          union all
                          select 'pg_catalog.pg_attrdef'::pg_catalog.regclass, f.oid
                            from pg_catalog.pg_attrdef f
                            join pg_catalog.pg_attribute g on (g.attrelid, g.attnum) = (f.adrelid, f.adnum)
                           where f.adrelid = c.oid and g.attgenerated <> '')))
