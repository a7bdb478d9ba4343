update part
   set state       = 'done',
       result      = cast(:result as jsonb),
       done_bytes  = :done_bytes,
       lease_until = null,
       lease_owner = null
 where job_id = :job_id
   and number = :number
   and epoch = :epoch
   and state = 'taken'
   and lease_owner = :owner
   and exists (select 1 from job where id = :job_id and epoch = :epoch and state = 'active')
returning number
