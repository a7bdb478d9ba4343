-- Give a step or a rollback back after a failure. A passing one is tried again, later each time, under a
-- new epoch. A job out of attempts, cancelled or overdue turns round: it keeps its epoch, so that the
-- errback which travels with its messages is the one to undo it. A rollback is never given up.
with turned as (
    select id,
           :give_up or cancel_requested or deadline_at < now()
               or (state = 'active' and attempts + 1 >= :max_attempts) as turns_round
      from job
     where id = :id
       and epoch = :epoch
       and lease_owner = :owner
       and lease_until is not null
       for update
)
update job
   set state       = case when turns_round then 'rolling_back' else state end,
       epoch       = epoch + case when turns_round and state = 'active' then 0 else 1 end,
       attempts    = attempts + 1,
       lease_until = null,
       lease_owner = null,
       enqueued_at = case when turns_round and state = 'active' then now() end,
       not_before  = now() + least(interval '5 s' * power(2, least(attempts, 10)), interval '10 min'),
       error       = case when state = 'active' then cast(:error as jsonb) else error end
  from turned
 where job.id = turned.id
returning job.*
