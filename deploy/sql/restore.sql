-- The role that brings snapshots back: it makes databases, renames them and gives them to their owners, and is no
-- superuser. The same file serves a server where snapshots are proven (VERIFY_DATABASE_URL).
--
-- Run it as a superuser in the database that is to be restored, and again when roles have come to own something
-- there, or to have grants of their own making:
--
--     psql -d shop -f deploy/sql/restore.sql
--     psql -d shop -c '\password snapfleet_restore'
--
-- It becomes a member of every role that owns something here, for only they can be given what is theirs: so it can do
-- what they can. It becomes no member of a superuser. What superusers own comes back with --as-superuser only.
do $$
declare
    wanted record;
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'snapfleet_restore') then
        create role snapfleet_restore login nosuperuser createdb nocreaterole noreplication nobypassrls;
    end if;
    execute pg_catalog.format('grant connect on database %I to snapfleet_restore', pg_catalog.current_database());
    for wanted in
        select r.rolname
          from pg_catalog.pg_roles r
         where r.oid in (
                   select s.refobjid
                     from pg_catalog.pg_shdepend s
                     join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
                    where s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
                      and s.deptype = 'o'
                      and (s.dbid = d.oid
                           or (s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass and s.objid = d.oid)))
           and not r.rolsuper
           and r.rolname not in ('snapfleet_restore', 'snapfleet_source')
           and r.rolname not like 'pg\_%'
    loop
        execute pg_catalog.format('grant %I to snapfleet_restore', wanted.rolname);
    end loop;
end $$;

-- To end the application's sessions when the databases are swapped. Superusers' sessions it cannot end.
grant pg_signal_backend to snapfleet_restore;
