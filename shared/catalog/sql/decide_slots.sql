-- Give slots their jobs, or none where they are missed, and note how far the slots of each database are decided.
-- One that was decided before stays as it is.
with given as (
    select *
      from unnest(cast(:databases as text[]), cast(:due_ats as timestamptz[]), cast(:job_ids as uuid[]))
        as given (database, due_at, job_id)
), decided as (
    insert into slot (database, due_at, job_id)
    select database, due_at, job_id
      from given
     order by database, due_at
        on conflict do nothing
)
update database
   set slots_until = greatest(slots_until, newest.due_at)
  from (select given.database, max(due_at) as due_at from given group by given.database) as newest
 where database.name = newest.database
