-- The newest comparison of each database with a real restore, the newest that matched, and the pace of the last
-- five that did, as far as these have loaded everything. Nothing of a database that was never restored.
select named.name as database,
       extract(epoch from now() - newest.verified_at) as age_seconds,
       newest.matched,
       matching.restore_seconds + matching.prove_seconds as restore_seconds,
       pace.raw_bytes as pace_bytes,
       pace.seconds as pace_seconds
  from unnest(cast(:names as text[])) as named(name)
  join lateral (select *
                  from verification
                 where database = named.name
                 order by verified_at desc
                 limit 1) as newest on true
  left join lateral (select *
                       from verification
                      where database = named.name and matched and compared -> 'parts_kept' is null
                      order by verified_at desc
                      limit 1) as matching on true
 cross join lateral (select sum(raw_bytes) as raw_bytes, sum(restore_seconds + prove_seconds) as seconds
                       from (select *
                               from verification
                              where database = named.name and matched and raw_bytes > 0
                                and compared -> 'parts_kept' is null
                              order by verified_at desc
                              limit 5) as last_five) as pace
