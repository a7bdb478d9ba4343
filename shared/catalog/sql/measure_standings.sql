-- What there is of snapshots, tombstones left out, by what each is worth.
select database,
       case when state <> 'sealed' then state
            when jsonb_array_length(suspicions) > 0 and accepted_at is null then 'suspect'
            when refuted_at is not null then 'refuted'
            when verified_at is not null then 'verified'
            else 'sealed'
       end as standing,
       count(*) as number,
       count(*) filter (where pinned) as pinned,
       coalesce(sum(stored_bytes) filter (where state = 'sealed'), 0) as stored_bytes
  from snapshot
 where state in ('copying', 'sealed', 'failed', 'deleting') and database = any(:names)
 group by 1, 2
