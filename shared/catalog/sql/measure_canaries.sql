-- How long ago a worker took beat's own message from each queue.
select queue,
       extract(epoch from now() - sung_at) as age_seconds
  from canary
