-- The two roles of the catalog: one makes its tables, the other works with them. The fleet logs in as the second, which
-- can neither change what the audit says nor the tables themselves.
--
-- Run it as a superuser, first in the empty database of the catalog and once more after each `snapfleet migrate`:
--
--     createdb snapfleet
--     psql -d snapfleet -f deploy/sql/catalog.sql
--     psql -d snapfleet -c '\password snapfleet_owner' -c '\password snapfleet_fleet'
--     CATALOG_URL=postgresql://snapfleet_owner:…@host/snapfleet snapfleet migrate
--     psql -d snapfleet -f deploy/sql/catalog.sql
--
-- Everything else then runs with CATALOG_URL=postgresql://snapfleet_fleet:…@host/snapfleet.
do $$
declare
    found record;
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'snapfleet_owner') then
        create role snapfleet_owner login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
    end if;
    if not exists (select from pg_catalog.pg_roles where rolname = 'snapfleet_fleet') then
        create role snapfleet_fleet login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
    end if;
    execute pg_catalog.format('revoke all on database %I from public', pg_catalog.current_database());
    execute pg_catalog.format('grant connect, create on database %I to snapfleet_owner', pg_catalog.current_database());
    execute pg_catalog.format('grant connect on database %I to snapfleet_fleet', pg_catalog.current_database());
    revoke create on schema public from public;
    grant usage, create on schema public to snapfleet_owner;
    grant usage on schema public to snapfleet_fleet;
    for found in
        select c.relname
          from pg_catalog.pg_class c
         where c.relnamespace = 'public'::pg_catalog.regnamespace and c.relkind in ('r', 'p')
    loop
        execute pg_catalog.format('revoke all on table public.%I from snapfleet_fleet', found.relname);
        execute pg_catalog.format(
            case
                when found.relname = 'alembic_version' then 'grant select on table public.%I to snapfleet_fleet'
                -- The audit grows, and that is all.
                when found.relname like 'audit%' then 'grant select, insert on table public.%I to snapfleet_fleet'
                else 'grant select, insert, update, delete on table public.%I to snapfleet_fleet'
            end,
            found.relname);
    end loop;
    grant usage, select on all sequences in schema public to snapfleet_fleet;
end $$;
