-- Keep the claim. No row: fenced out; stop at once.
-- A cancelled or overdue job keeps its lease, so that its worker can stop in good order.
update job
   set lease_until = now() + :ttl,
       progress    = coalesce(cast(:progress as jsonb), progress)
 where id = :id
   and epoch = :epoch
   and next_seq = :seq
   and lease_owner = :owner
   and lease_until is not null
returning cancel_requested, deadline_at < now() as overdue
