-- A job that waited past its deadline ends without having begun; so does one cancelled while it waited.
update job
   set state       = case when cancel_requested then 'cancelled' else 'failed' end,
       finished_at = now(),
       error       = case when cancel_requested then error
                          else jsonb_build_object('code', 'deadline_passed', 'hint', 'see what the fleet was busy with: snapfleet jobs',
                               'message', 'the job waited until its deadline had passed') end
 where state = 'pending'
   and (cancel_requested or deadline_at <= now())
returning *
