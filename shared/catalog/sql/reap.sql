-- Find every live job that does not move, and make it ready to be rung:
--   its worker's lease ran out           -> a new epoch fences that worker out
--   it waits for another try             -> that moment has come
--   it was rung and nobody claimed it    -> the message may be lost; rung again under the same epoch,
--                                           because the first one may only be late: a new epoch would
--                                           send a job to the back of a long queue for ever
--   it is cancelled or overdue           -> turns round
with due as (
    select id,
           lease_until is not null as died,
           state = 'active' and (cancel_requested or deadline_at < now()
               or (lease_until is not null and attempts + 1 >= :max_attempts)) as gives_up
      from job
     where state in ('active', 'rolling_back')
       and (cast(:only as uuid) is null or id = cast(:only as uuid))
       and (lease_until < now()
            or (lease_until is null
                and ((enqueued_at is null and not_before <= now())
                     or enqueued_at < now() - least(interval '30 s' * power(2, least(rings, 8)), interval '1 h')
                     or (state = 'active' and (cancel_requested or deadline_at < now())))))
     order by not_before
     limit 100
       for update skip locked
)
update job
   set state       = case when due.gives_up then 'rolling_back' else job.state end,
       epoch       = job.epoch + case when due.died or due.gives_up then 1 else 0 end,
       attempts    = job.attempts + case when due.died then 1 else 0 end,
       rings       = job.rings + 1,
       lease_until = null,
       lease_owner = null,
       enqueued_at = now(),
       error       = case
                         when job.cancel_requested and due.gives_up then job.error
                         when job.deadline_at < now() and due.gives_up then
                             jsonb_build_object('code', 'deadline_passed', 'hint', null,
                                 'message', 'the job did not end before its deadline')
                         when due.gives_up then
                             coalesce(job.error, jsonb_build_object('code', 'worker_lost', 'hint',
                                 'look for killed workers: memory, restarts',
                                 'message', 'the worker died at every attempt'))
                         else job.error
                     end
  from due
 where job.id = due.id
returning job.*
