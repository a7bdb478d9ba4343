-- The same as source.sql, for this database alone: no membership, but one grant for each thing that is read.
--
--     psql -d shop -f deploy/sql/source-by-schema.sql
--     psql -d shop -c '\password snapfleet_source'
--
-- What is made later by a role that owns something now is granted by itself. Schemas, large objects and what
-- other roles make are not: run it again, or the next snapshot is refused and names what it may not read.
do $$
declare
    wanted record;
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'snapfleet_source') then
        create role snapfleet_source login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
    end if;
    execute pg_catalog.format('grant connect on database %I to snapfleet_source', pg_catalog.current_database());
    for wanted in
        select n.nspname
          from pg_catalog.pg_namespace n
         where n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
    loop
        execute pg_catalog.format('grant usage on schema %I to snapfleet_source', wanted.nspname);
        execute pg_catalog.format('grant select on all tables in schema %I to snapfleet_source', wanted.nspname);
        execute pg_catalog.format('grant select on all sequences in schema %I to snapfleet_source', wanted.nspname);
    end loop;
    for wanted in
        select distinct pg_catalog.pg_get_userbyid(c.relowner) as maker
          from pg_catalog.pg_class c
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
    loop
        execute pg_catalog.format(
            'alter default privileges for role %I grant select on tables to snapfleet_source', wanted.maker);
        execute pg_catalog.format(
            'alter default privileges for role %I grant select on sequences to snapfleet_source', wanted.maker);
    end loop;
    for wanted in select oid from pg_catalog.pg_largeobject_metadata loop
        execute pg_catalog.format('grant select on large object %s to snapfleet_source', wanted.oid);
    end loop;
end $$;
