-- Start the oldest waiting job of each database that has no live one; of one database, if named.
update job
   set state       = 'active',
       epoch       = epoch + 1,
       enqueued_at = now(),
       rings       = 0
 where id in (
        select distinct on (waiting.database) waiting.id
          from job waiting
         where waiting.state = 'pending'
           and waiting.not_before <= now()
           and waiting.deadline_at > now()
           and not waiting.cancel_requested
           and (cast(:database as text) is null or waiting.database = :database)
           and not exists (select 1
                             from job live
                            where live.database = waiting.database
                              and live.state in ('active', 'rolling_back'))
         order by waiting.database, waiting.created_at, waiting.id)
   and state = 'pending'
returning *
