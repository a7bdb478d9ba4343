-- Note which chunks a snapshot needs.
insert into snapshot_chunk (snapshot_id, database, sha256)
select :snapshot_id, :database, sha256
  from unnest(cast(:sha256s as text[])) as given (sha256)
 order by sha256
    on conflict do nothing
