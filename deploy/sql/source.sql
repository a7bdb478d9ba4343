-- The role that takes snapshots of a database, and can do nothing else.
--
-- Run it as a superuser in each database to protect, and again after large objects have been made there:
--
--     psql -d shop -f deploy/sql/source.sql
--     psql -d shop -c '\password snapfleet_source'
--
-- It reads every table, sequence and view of the whole server, for it is a member of pg_read_all_data.
-- source-by-schema.sql is narrower: it reads nothing but the database that it is run in.
-- A table under row-level security needs one right more, and a snapshot without it is refused by name:
--
--     alter role snapfleet_source bypassrls;
do $$
declare
    large_object oid;
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'snapfleet_source') then
        create role snapfleet_source login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
    end if;
    execute pg_catalog.format('grant connect on database %I to snapfleet_source', pg_catalog.current_database());
    for large_object in select oid from pg_catalog.pg_largeobject_metadata loop
        execute pg_catalog.format('grant select on large object %s to snapfleet_source', large_object);
    end loop;
end $$;

grant pg_read_all_data to snapfleet_source;
