-- Mark for deletion what no remaining snapshot uses and no copy has touched for a day.
-- Marked first and in a transaction of its own: a copy that meets the mark stores the chunk anew.
update chunk
   set state = 'deleting'
 where database = :database
   and (cast(:only as text[]) is null or sha256 = any(cast(:only as text[])))
   and (state = 'deleting' or touched_at < now() - :grace)
   and not exists (select 1
                     from snapshot_chunk used
                    where used.database = chunk.database
                      and used.sha256 = chunk.sha256)
returning sha256
