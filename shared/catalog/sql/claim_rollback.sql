-- Let one worker undo. Refused until the failing step, or the reaper, has put the row in rolling_back.
update job
   set lease_until = now() + :ttl,
       lease_owner = :owner,
       rings       = 0
 where id = :id
   and epoch = :epoch
   and state = 'rolling_back'
   and lease_until is null
returning *
