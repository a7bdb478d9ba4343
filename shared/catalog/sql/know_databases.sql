-- A row for each configured database that has none.
insert into database (name)
select name
  from unnest(cast(:names as text[])) as given (name)
 where not exists (select 1 from database where database.name = given.name)
 order by name
    on conflict do nothing
