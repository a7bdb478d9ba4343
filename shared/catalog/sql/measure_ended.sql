-- Jobs that ended within a day, and what retention freed meanwhile.
select database,
       kind,
       state,
       count(*) as number,
       sum(cast(result ->> 'freed_bytes' as bigint)) as freed_bytes,
       sum(jsonb_array_length(result -> 'removed')) filter (where kind = 'prune') as removed
  from job
 where finished_at > now() - interval '24 h'
 group by database, kind, state
