-- What stands against emptying some tables of this database and restoring their rows from an archive, in words.
select 'it has event triggers' as why
 where exists (select from pg_catalog.pg_event_trigger)
union all
-- Of such a table an archive holds only some rows; the others came with the extension.
select 'an extension has rows of its own in it'
 where exists (select from pg_catalog.pg_extension where extconfig is not null)
union all
select 'other materialized views had rows'
 where (select count(*) from pg_catalog.pg_class where relkind = 'm' and relispopulated) <> %(views)s
