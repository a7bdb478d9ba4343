-- Every started step is undone: the job is over.
update job
   set state       = case when cancel_requested then 'cancelled' else :ends_undone end,
       lease_until = null,
       lease_owner = null,
       progress    = '{}',
       finished_at = now()
 where id = :id
   and epoch = :epoch
   and state = 'rolling_back'
   and lease_owner = :owner
   and lease_until is not null
returning *
