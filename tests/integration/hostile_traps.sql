-- What is laid out for whoever reads, plans, analyzes or restores: names that stand in for PostgreSQL's own, and code
-- wherever an expression may stand. The schema public is open to the attacker here, as it was in every older server.
set search_path = evil;

-- Names of PostgreSQL's own, with arguments that fit better than its own, in the schemas that a search_path may name.
do $$
declare
    place text;
begin
    foreach place in array array['public', 'evil'] loop
        execute format('create function %I.trap_%s(text, text) returns boolean immutable language plpgsql as
            $body$begin return evil.attack(%L); end$body$', place, 'equals', 'operator in ' || place);
        execute format('create operator %I.= (leftarg = text, rightarg = text, function = %I.trap_equals)', place, place);
        execute format('create operator %I.<> (leftarg = text, rightarg = text, function = %I.trap_equals)', place, place);
        execute format('create function %I.lower(varchar) returns text immutable language plpgsql as
            $body$begin perform evil.attack(%L); return $1; end$body$', place, 'lower in ' || place);
        execute format('create function %I.current_setting(unknown_text varchar) returns text language plpgsql as
            $body$begin perform evil.attack(%L); return $1; end$body$', place, 'current_setting in ' || place);
        execute format('create function %I.count() returns bigint language plpgsql as
            $body$begin perform evil.attack(%L); return 0; end$body$', place, 'count in ' || place);
        execute format('create function %I.set_config(varchar, varchar, boolean) returns text language plpgsql as
            $body$begin perform evil.attack(%L); return $1; end$body$', place, 'set_config in ' || place);
        execute format('create function %I.pg_export_snapshot() returns text language plpgsql as
            $body$begin perform evil.attack(%L); return null; end$body$', place, 'export in ' || place);
        execute format('create view %I.pg_class as select evil.attack(%L) as relname', place, 'pg_class in ' || place);
        execute format('create view %I.pg_database as select evil.attack(%L) as datname', place, 'pg_database in ' || place);
        execute format('create domain %I.text as varchar check (evil.attack(%L))', place, 'type in ' || place);
        execute format('create domain %I.tid as varchar check (evil.attack(%L))', place, 'tid in ' || place);
    end loop;
end $$;

-- Code that a reader or a planner might run.
create type pair as (a int, b pg_catalog.text);
create function pair_as_text(pair) returns pg_catalog.text immutable language plpgsql as
    'begin perform evil.attack(''cast''); return ''''; end';
create cast (pair as pg_catalog.text) with function pair_as_text(pair) as implicit;
create table paired (p pair, n int default 1);
insert into paired select row(n, 'x')::pair from generate_series(1, 10) n;

create table partly (n int);
create index on partly (n) where evil.attack_unnoticed('predicate ' || n::pg_catalog.text);
insert into partly values (1);

create table measured (n int);
create statistics on (evil.attack_unnoticed('statistics ' || n::pg_catalog.text)), n from measured;
insert into measured select generate_series(1, 100);

create table chosen (n int) partition by list ((evil.attack_unnoticed('partition key ' || n::pg_catalog.text)));
create table chosen_true partition of chosen for values in (true);
insert into chosen values (1);

-- Code that only some statement of the application's would run, and no copy: it must not run at all.
create table defaulted (n int, made boolean default evil.attack('default'));
insert into defaulted (n, made) values (1, true);
create table rewritten (n int);
insert into rewritten values (1);
create rule also as on insert to rewritten do also select evil.attack('rule');
create view looked as select evil.attack('view') as seen;
create rule instead_of as on insert to looked do instead select evil.attack('rule of a view');
create function noted() returns trigger language plpgsql as 'begin perform evil.attack(''truncate''); return null; end';
create trigger noted after truncate on rewritten execute function noted();
create procedure called() language plpgsql as 'begin perform evil.attack(''procedure''); end';
create function added(pg_catalog.text, pg_catalog.text) returns pg_catalog.text language plpgsql as
    'begin perform evil.attack(''aggregate''); return $1; end';
create aggregate public.sum(pg_catalog.text) (sfunc = evil.added, stype = pg_catalog.text);

-- What psql would take for commands of its own, in rows, names and comments.
create table said (v varchar);
insert into said select line from unnest(array[
    E'\\.\n\\! touch FOLDER/row',
    E'\\! touch FOLDER/row',
    E'\\o FOLDER/row',
    E'\\copy said to program ''touch FOLDER/row''',
    E'\\gexec',
    E'`touch FOLDER/row`',
    E'$(touch FOLDER/row)',
    E'\n\\unrestrict x\n\\! touch FOLDER/row\n']) line;
create table "\copy said to program 'touch FOLDER/name'" ("`touch FOLDER/name`" int);
create table "$(touch FOLDER/name)" ("\." varchar default E'\\.\n\\! touch FOLDER/name');
comment on table said is E'\\.\n\\! touch FOLDER/comment\n`touch FOLDER/comment`';
create type "--file=named" as enum (E'a\n\\! id', '; create role pwned superuser; --');
create table labelled (l "--file=named");
insert into labelled values (E'a\n\\! id');
