-- Whether retention of a database has looked through all that is stored of it within a span, and no snapshot has
-- failed since: one that did may have left a manifest.
select coalesce(
    (select not exists (select 1
                          from snapshot
                         where snapshot.database = :database
                           and snapshot.state = 'failed'
                           and snapshot.failed_at >= sweep.created_at)
       from job sweep
      where sweep.database = :database
        and sweep.created_at > now() - :span
        and sweep.kind = 'prune'
        and sweep.state = 'succeeded'
        and sweep.result ->> 'swept' = 'true'
      order by sweep.created_at desc
      limit 1),
    false)
