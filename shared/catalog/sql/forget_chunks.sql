-- Delete at most so many rows that say which chunks these snapshots need: which chunks, and how many rows of each.
with gone as (
    delete from snapshot_chunk
     where ctid = any (array(select ctid
                               from snapshot_chunk
                              where snapshot_id = any (cast(:snapshot_ids as text[]))
                              limit :most))
    returning sha256)
select sha256, count(*) as uses
  from gone
 group by sha256
