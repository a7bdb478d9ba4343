-- How long the newest successful restores of a database took from their first step to their end, and
-- how much they brought back.
select snapshot.raw_bytes,
       cast(extract(epoch from job.finished_at - first.started_at) as double precision) as seconds
  from job
  join job_step first on first.job_id = job.id and first.seq = 1
  join snapshot on snapshot.id = job.request ->> 'snapshot_id'
 where job.database = :database
   and job.kind = 'restore'
   and job.state = 'succeeded'
   and snapshot.raw_bytes > 0
 order by job.finished_at desc
 limit :limit
