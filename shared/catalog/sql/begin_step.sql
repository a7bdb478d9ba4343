-- Mark a claimed step; what it was before: `doing` where a former worker died in it.
update job_step
   set state      = 'doing',
       started_at = now()
  from (select state from job_step where job_id = :id and seq = :seq) as before
 where job_id = :id
   and seq = :seq
returning before.state
