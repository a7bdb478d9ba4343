-- Note that a snapshot is about to count on these chunks: kept from retention for a day from now. One whose
-- deletion was begun is to be looked for or stored anew, as is one that nobody knew of.
insert into chunk (database, sha256, raw_bytes, stored_bytes, stored_sha256, state)
select :database, given.sha256, given.raw_bytes, given.stored_bytes, given.stored_sha256, 'storing'
  from unnest(cast(:sha256 as text[]), cast(:raw_bytes as bigint[]), cast(:stored_bytes as bigint[]),
              cast(:stored_sha256 as text[])) as given (sha256, raw_bytes, stored_bytes, stored_sha256)
 order by given.sha256
    on conflict (database, sha256) do update
   set touched_at    = now(),
       state         = case chunk.state when 'stored' then 'stored' else 'storing' end,
       raw_bytes     = case chunk.state when 'stored' then chunk.raw_bytes else excluded.raw_bytes end,
       stored_bytes  = case chunk.state when 'stored' then chunk.stored_bytes else excluded.stored_bytes end,
       stored_sha256 = case chunk.state when 'stored' then chunk.stored_sha256 else excluded.stored_sha256 end
returning sha256, state = 'stored' as is_stored, xmax = 0 as is_new
