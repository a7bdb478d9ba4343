-- Let one worker run one step. No row: the message was a duplicate, stale or forged.
update job
   set lease_until = now() + :ttl,
       lease_owner = :owner,
       rings       = 0
 where id = :id
   and epoch = :epoch
   and next_seq = :seq
   and state = 'active'
   and lease_until is null
   and not cancel_requested
   and deadline_at > now()
returning *
