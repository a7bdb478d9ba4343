-- Write a transaction's events, each with the next number of its database. The databases' rows are locked until the
-- commit, in one order for all who do this: so the events of one become visible in their order.
with given as (
    select *
      from unnest(cast(:databases as text[]), cast(:types as text[]), cast(:jobs as uuid[]), cast(:data as text[]),
                  cast(:cause_sources as text[]), cast(:cause_ids as text[])) with ordinality
        as given (database, type, job_id, data, cause_source, cause_id, place)
), locked as materialized (
    select name
      from database
     where name in (select database from given)
     order by name
       for no key update
), numbered as (
    update database
       set event_sequence = event_sequence + counted.number
      from (select given.database, count(*) as number
              from given
              join locked on locked.name = given.database
             group by given.database) as counted
     where database.name = counted.database
    returning database.name, event_sequence - counted.number as former
)
insert into outbox (database, sequence, type, job_id, data, cause_source, cause_id)
select given.database,
       numbered.former + row_number() over (partition by given.database order by given.place),
       given.type,
       given.job_id,
       cast(given.data as jsonb),
       case when given.cause_id is null then cause.source else given.cause_source end,
       case when given.cause_id is null then cause.event_id else given.cause_id end
  from given
  left join numbered on numbered.name = given.database
  left join cause on cause.job_id = given.job_id
 order by given.place
