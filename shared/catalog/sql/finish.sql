-- End a step, in one transaction with what the step recorded. No row: superseded; roll all of it back.
-- A job that succeeds after all has no error: a failed attempt, or a cancellation that came too late.
with finished as (
    update job
       set next_seq    = next_seq + 1,
           lease_until = null,
           lease_owner = null,
           enqueued_at = now(),
           progress    = '{}',
           result      = result || cast(:result as jsonb),
           state       = case when :last then 'succeeded' else state end,
           error       = case when not :last then error end,
           finished_at = case when :last then now() end
     where id = :id
       and epoch = :epoch
       and next_seq = :seq
       and state = 'active'
       and lease_owner = :owner
       and lease_until is not null
    returning *
), done as (
    update job_step
       set state       = 'done',
           finished_at = now()
      from finished
     where job_step.job_id = finished.id
       and job_step.seq = :seq
)
select * from finished
