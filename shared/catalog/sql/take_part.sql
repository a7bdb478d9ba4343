-- Take the next part that is free, or whose taker's lease ran out. Nothing is free for a superseded epoch.
update part
   set state       = 'taken',
       lease_until = now() + :ttl,
       lease_owner = :owner,
       done_bytes  = 0
 where job_id = :job_id
   and number = (
        select number
          from part
         where job_id = :job_id
           and epoch = :epoch
           and (state = 'new' or (state = 'taken' and lease_until < now()))
         order by number
         limit 1
           for update skip locked)
   and exists (select 1 from job where id = :job_id and epoch = :epoch and state = 'active')
returning number, spec
