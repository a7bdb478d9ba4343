-- Take the next part that is free, or whose taker's lease ran out. Nothing is free for a superseded epoch.
-- One without bytes of its own may have to wait for others, by spans of numbers; then it comes first.
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
           and (expected_bytes > 0
                or not exists (
                   select 1
                     from part other
                     join jsonb_array_elements(part.spec -> 'after') span
                       on other.number between cast(span ->> 0 as int) and cast(span ->> 1 as int)
                    where other.job_id = :job_id
                      and other.state <> 'done'))
         order by expected_bytes > 0, number
         limit 1
           for update skip locked)
   and exists (select 1 from job where id = :job_id and epoch = :epoch and state = 'active')
returning number, spec
