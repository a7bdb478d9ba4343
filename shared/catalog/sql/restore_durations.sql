-- How long the newest restores of a database took, those that only proved a snapshot among them: to build the
-- side database up and to compare it; and how much they brought back. Not those that loaded only what had changed.
select raw_bytes,
       restore_seconds + prove_seconds as seconds
  from verification
 where database = :database
   and matched
   and raw_bytes > 0
   and compared -> 'parts_kept' is null
 order by verified_at desc
 limit :limit
