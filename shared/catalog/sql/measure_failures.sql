-- How many jobs of a kind failed in a row, the newest ones, at most ten of the last 31 days; a row for each kind
-- of which any has ended.
select named.name as database,
       kinds.kind,
       count(*) filter (where not ended.won and ended.state in ('failed', 'rolled_back')) as failed
  from unnest(cast(:names as text[])) as named(name)
 cross join unnest(cast(:kinds as text[])) as kinds(kind)
 cross join lateral (select state, bool_or(state = 'succeeded') over (order by created_at desc) as won
                       from (select state, created_at
                               from job
                              where database = named.name and kind = kinds.kind
                                and created_at > now() - interval '31 days'
                                and state in ('succeeded', 'rolled_back', 'failed')
                              order by created_at desc
                              limit 10) as newest) as ended
 group by 1, 2
