-- Where the chain ends, and the moment: of now, and not of the transaction's begin, so that it follows the order.
select coalesce(max(seq), 0) as seq,
       coalesce((array_agg(hash))[1], repeat('0', 64)) as hash,
       clock_timestamp() as at
  from (select seq, hash from audit order by seq desc limit 1) as last
