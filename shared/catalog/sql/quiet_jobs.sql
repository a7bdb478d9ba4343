-- Running jobs that nothing was told of for a while, and what was told of their progress last.
select job.id,
       (select told.data
          from outbox told
         where told.job_id = job.id
           and told.type = job.kind || '.progress'
         order by told.id desc
         limit 1) as last_told
  from job
 where job.state in ('active', 'rolling_back')
   and job.lease_until is not null
   and not exists (select 1
                     from outbox recent
                    where recent.job_id = job.id
                      and recent.created_at > now() - :for_)
 order by job.created_at, job.id
