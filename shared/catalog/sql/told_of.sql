-- What was told of some jobs, each after a place of its own.
select outbox.*
  from unnest(cast(:jobs as uuid[]), cast(:afters as bigint[])) as wanted (job_id, after)
  join outbox on outbox.job_id = wanted.job_id
             and outbox.sequence > wanted.after
 order by outbox.id
 limit :limit
