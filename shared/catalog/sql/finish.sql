-- End a step, in one transaction with what the step recorded. No row: superseded; roll all of it back.
update job
   set next_seq    = next_seq + 1,
       lease_until = null,
       lease_owner = null,
       enqueued_at = now(),
       progress    = '{}',
       result      = result || cast(:result as jsonb),
       state       = case when :last then 'succeeded' else state end,
       finished_at = case when :last then now() end
 where id = :id
   and epoch = :epoch
   and next_seq = :seq
   and state = 'active'
   and lease_owner = :owner
   and lease_until is not null
returning *
