-- What is stored, by database.
select database,
       count(*) as chunks,
       sum(raw_bytes) as raw_bytes,
       sum(stored_bytes) as stored_bytes
  from chunk
 where state <> 'storing' and database = any(:names)
 group by database
