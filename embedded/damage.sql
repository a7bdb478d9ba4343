-- What nobody wants to have run. A blank line ends a statement.
drop table journal.thought cascade

truncate journal.signal

drop table journal.moment_2026q1

update journal.mind set temper = '{uneasy}', key = md5(name)::uuid where id % 2 = 0

select lo_unlink(4242)

select setval('journal.heartbeat', 3)

revoke select on journal.moment from journal_reader

alter database journal reset search_path
