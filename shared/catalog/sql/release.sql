-- Give a step or a rollback back after a passing failure: to be rung again, later each time.
-- A job out of attempts, cancelled or overdue turns round; a rollback is never given up.
update job
   set state       = case when :give_up or cancel_requested or deadline_at < now()
                            or (state = 'active' and attempts + 1 >= :max_attempts)
                          then 'rolling_back' else state end,
       epoch       = epoch + 1,
       attempts    = attempts + 1,
       lease_until = null,
       lease_owner = null,
       enqueued_at = null,
       not_before  = case when :give_up or cancel_requested then now()
                          else now() + least(interval '5 s' * power(2, least(attempts, 10)), interval '10 min')
                     end,
       error       = cast(:error as jsonb)
 where id = :id
   and epoch = :epoch
   and lease_owner = :owner
   and lease_until is not null
returning *
