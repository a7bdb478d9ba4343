-- What this role may not read of what a snapshot holds, each with its kind, in words.
select what
  from (select 'schema ' || pg_catalog.quote_ident(n.nspname) as what, 0 as rank, n.nspname as schema, null as name
          from pg_catalog.pg_namespace n
         where n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
           and not pg_catalog.has_schema_privilege(n.oid, 'usage')
           and exists (select from pg_catalog.pg_class c
                        where c.relnamespace = n.oid and c.relkind in ('r', 'p', 'S'))
         union all
        select case c.relkind when 'S' then 'sequence ' else 'table ' end
                   || pg_catalog.format('%I.%I', n.nspname, c.relname),
               1, n.nspname, c.relname
          from pg_catalog.pg_class c
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
           and c.relkind in ('r', 'p', 'S')
           and case c.relkind when 'S' then not pg_catalog.has_sequence_privilege(c.oid, 'select')
                              else not pg_catalog.has_table_privilege(c.oid, 'select') end
           -- What belongs to an extension comes with it and is not copied.
           and not exists (select from pg_catalog.pg_depend d
                            where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                              and d.objid = c.oid and d.deptype = 'e')
         union all
        select pg_catalog.format('the rows behind row-level security of %I.%I', n.nspname, c.relname),
               2, n.nspname, c.relname
          from pg_catalog.pg_class c
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and c.relrowsecurity and pg_catalog.row_security_active(c.oid)
         union all
        select 'large object ' || l.oid, 3, '', pg_catalog.lpad(l.oid::text, 10, '0')
          from pg_catalog.pg_largeobject_metadata l
         where not (pg_catalog.pg_has_role(l.lomowner, 'usage')
                    or exists (select from pg_catalog.aclexplode(l.lomacl) g
                                where g.privilege_type = 'SELECT'
                                  and (g.grantee = 0 or pg_catalog.pg_has_role(g.grantee, 'usage'))))) closed
 order by rank, schema, name
