-- Jobs made, or ended, since there is an audit, that have no entry of it: of a tail that was cut off they tell.
with began as (select min(at) as at from audit)
select job.id,
       case when asked.job_id is null and job.created_at > began.at then 'requested' else 'ended' end as lacks
  from began, job
  left join lateral (select job_id from audit where job_id = job.id and action = job.kind || '.requested' limit 1)
    as asked on true
  left join lateral (select job_id from audit where job_id = job.id and action = job.kind || '.ended' limit 1)
    as ended on true
 where (job.created_at > began.at and asked.job_id is null)
    or (job.finished_at > began.at and ended.job_id is null)
 order by job.created_at, job.id
 limit :limit
