-- The newest sealed snapshot of each database, and how old the newest good and the newest proven one are.
-- A good one is what a restore takes by itself: no safeguard, not refuted, and not suspect or accepted.
select named.name as database,
       extract(epoch from now() - newest.taken_at) as sealed_age_seconds,
       extract(epoch from now() - good.taken_at) as good_age_seconds,
       extract(epoch from now() - proven.taken_at) as proven_age_seconds,
       newest.raw_bytes,
       newest.stored_bytes,
       newest.new_bytes,
       cast(newest.how_read -> 'unread' ->> 'raw_bytes' as bigint) as unread_bytes,
       newest.row_count,
       newest.duration_seconds
  from unnest(cast(:names as text[])) as named(name)
  left join lateral (select *
                       from snapshot
                      where database = named.name and state = 'sealed'
                      order by sequence desc
                      limit 1) as newest on true
  left join lateral (select taken_at
                       from snapshot
                      where database = named.name and state = 'sealed' and reason <> 'safeguard'
                        and refuted_at is null
                        and (jsonb_array_length(suspicions) = 0 or accepted_at is not null)
                      order by sequence desc
                      limit 1) as good on true
  left join lateral (select taken_at
                       from snapshot
                      where database = named.name and state = 'sealed' and reason <> 'safeguard'
                        and refuted_at is null and verified_at is not null
                        and (jsonb_array_length(suspicions) = 0 or accepted_at is not null)
                      order by sequence desc
                      limit 1) as proven on true
