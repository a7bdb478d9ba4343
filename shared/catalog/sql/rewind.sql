-- Go back to an earlier step and start over from there; the reaper rings it.
update job
   set next_seq    = :to_seq,
       epoch       = epoch + 1,
       lease_until = null,
       lease_owner = null,
       enqueued_at = null,
       not_before  = now()
 where id = :id
   and epoch = :epoch
   and next_seq = :seq
   and state = 'active'
   and lease_owner = :owner
   and lease_until is not null
returning *
