-- What only a superuser can make. The event trigger that refuses everything is the one that would refuse us.
create table t (n int, v text);
insert into t values (1, 'a');
create function noticed() returns event_trigger language plpgsql as 'begin insert into t values (0, tg_tag); end';
create function refuse() returns event_trigger language plpgsql as 'begin raise ''not here''; end';
create function nothing() returns event_trigger language plpgsql as 'begin end';
create event trigger "noticed ""it"" twice" on ddl_command_end when tag in ('CREATE TABLE', 'REFRESH MATERIALIZED VIEW')
    execute function noticed();
comment on event trigger "noticed ""it"" twice" is 'e';
create event trigger dropped on sql_drop execute function nothing();
create event trigger rewritten on table_rewrite execute function nothing();
alter event trigger rewritten enable always;
create materialized view m as select n from t where n > 0;

create type plain;
create function plain_in(cstring) returns plain language internal immutable strict as 'textin';
create function plain_out(plain) returns cstring language internal immutable strict as 'textout';
create type plain (input = plain_in, output = plain_out, like = text, category = 'S');
create table plains (p plain, ps plain[], filler text);
alter table plains alter filler set storage external;
insert into plains values (E'a\\.\n', '{a,NULL}'), (null, '{}');
insert into plains (filler) select repeat(n::text, 1000000) from generate_series(1, 9) n;
create cast (plain as text) without function as implicit;
create function cmp(a int, b int) returns int language sql immutable leakproof support generate_series_int4_support
    as 'select $2 - $1';
create operator class backwards for type int using btree as
    operator 1 > (int, int), operator 2 >= (int, int), operator 3 = (int, int), operator 4 <= (int, int),
    operator 5 < (int, int), function 1 cmp(int, int);
create index on t (n backwards);
create text search parser parsed (
    start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype, headline = prsd_headline);
create text search template templated (init = dsimple_init, lexize = dsimple_lexize);
create access method other_heap type table handler heap_tableam_handler;
create table in_other_heap (n int, filler text) using other_heap;
insert into in_other_heap select n, repeat(n::text, 9000) from generate_series(1, 2000) n;

create extension postgres_fdw;
create server elsewhere type 't' version 'v' foreign data wrapper postgres_fdw options (host '192.0.2.1', dbname 'a "b" ''c');
create user mapping for public server elsewhere options (user 'u', password 'p''w');
create foreign table far (n int options (column_name 'm')) server elsewhere options (table_name 'x');
create view over_far as select * from far;
create publication everything for all tables with (publish = 'truncate');
create publication whole_schema for tables in schema public;
create event trigger refuses_all on ddl_command_start execute function refuse();
