-- Events that are not published yet, and how long the oldest of them waits.
select count(*) as waiting,
       extract(epoch from now() - min(created_at)) as oldest_seconds
  from outbox
 where published_at is null
