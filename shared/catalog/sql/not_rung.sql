-- Take back that a job was rung: no message left. The next reap rings at once instead of waiting for one
-- that may only be late. A claim or a later ring in between wins.
update job
   set enqueued_at = null,
       rings       = greatest(rings - 1, 0)
 where id = :id
   and epoch = :epoch
   and enqueued_at = :enqueued_at
   and lease_until is null
