-- Jobs that are not over, by kind and state: how many, how long the oldest of them waits for its turn, how many
-- lost their worker, how often one was rung for without an answer, and how often the same step was tried.
select kind,
       state,
       count(*) as number,
       extract(epoch from max(now() - greatest(created_at, not_before))
           filter (where state = 'pending' and not_before <= now())) as oldest_waiting_seconds,
       count(*) filter (where lease_until < now()) as expired_leases,
       coalesce(max(rings) filter (where lease_until is null and state <> 'pending'), 0) as unanswered_rings,
       max(attempts) as attempts
  from job
 where state in ('pending', 'active', 'rolling_back')
 group by kind, state
