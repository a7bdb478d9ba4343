-- Start the oldest waiting job of each database's lane that has no live one; of one database, if named.
with laned as (
    select job.*,
           case kind when 'verify' then 'proof' when 'check' then 'watch' else 'changes' end as lane
      from job
     where state in ('pending', 'active', 'rolling_back')
       and (cast(:database as text) is null or database = :database)
)
update job
   set state       = 'active',
       epoch       = epoch + 1,
       enqueued_at = now(),
       rings       = 0
 where id in (
        select distinct on (waiting.database, waiting.lane) waiting.id
          from laned waiting
         where waiting.state = 'pending'
           and waiting.not_before <= now()
           and waiting.deadline_at > now()
           and not waiting.cancel_requested
           and not exists (select 1
                             from laned live
                            where live.database = waiting.database
                              and live.lane = waiting.lane
                              and live.state in ('active', 'rolling_back'))
         order by waiting.database, waiting.lane, waiting.created_at, waiting.id)
   and state = 'pending'
returning *
