-- Each of these databases at this moment: how long it is known, up to when its slots are decided, how many of
-- them were missed, whether anything keeps snapshots from being taken, and what an undo could bring back.
select database.name,
       extract(epoch from now() - database.created_at) as known_seconds,
       database.slots_until,
       database.blocked_at is not null as blocked,
       (select count(*) from slot where slot.database = database.name and slot.job_id is null) as missed_slots,
       (select count(*) from parked where parked.database = database.name and parked.dropped_at is null) as parked
  from database
 where database.name = any(:names)
 order by database.name
