-- Entries of the audit, in their places.
insert into audit (seq, at, actor, origin, action, outcome, database, job_id, details, previous, hash)
select seq, at, actor, origin, action, outcome, database, job_id, cast(details as json), previous, hash
  from unnest(cast(:seq as bigint[]), cast(:at as timestamptz[]), cast(:actor as text[]), cast(:origin as text[]),
              cast(:action as text[]), cast(:outcome as text[]), cast(:database as text[]),
              cast(:job_id as uuid[]), cast(:details as text[]), cast(:previous as text[]),
              cast(:hash as text[]))
    as entry (seq, at, actor, origin, action, outcome, database, job_id, details, previous, hash)
 order by seq
