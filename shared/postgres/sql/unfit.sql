-- What stands against emptying some tables of this database and restoring their rows from an archive, in words.
select 'it has event triggers' as why
 where exists (select from pg_catalog.pg_event_trigger)
union all
-- Of their rows, and of what stands on them, an archive holds nothing, or only a part.
select 'an extension has tables of its own in it'
 where exists (select from pg_catalog.pg_depend d
                 join pg_catalog.pg_class c on c.oid = d.objid
                where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                  and d.deptype = 'e' and c.relkind in ('r', 'p'))
