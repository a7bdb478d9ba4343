-- Accept requests, each once: the jobs that are new, with their steps.
with given as (
    select *
      from unnest(cast(:ids as uuid[]), cast(:kinds as text[]), cast(:databases as text[]),
                  cast(:requests as text[]), cast(:keys as text[]), cast(:digests as text[]),
                  cast(:deadlines as interval[]))
        as given (id, kind, database, request, idempotency_key, request_digest, deadline)
), made as (
    insert into job (id, kind, database, request, idempotency_key, request_digest, deadline_at)
    select id, kind, database, cast(request as jsonb), idempotency_key, request_digest, now() + deadline
      from given
        on conflict (idempotency_key) do nothing
    returning *
), stepped as (
    insert into job_step (job_id, seq, name)
    select made.id, step.seq, step.name
      from made
      join unnest(cast(:step_kinds as text[]), cast(:step_seqs as int[]), cast(:step_names as text[]))
        as step (kind, seq, name) on step.kind = made.kind
)
select * from made
