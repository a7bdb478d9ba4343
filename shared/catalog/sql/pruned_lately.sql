-- Whether retention of a database has run to its end within a span. A job is not older than it was asked for. One
-- that deletes a single snapshot is of the same kind, and decides nothing about the others.
select exists (select 1
                 from job
                where database = :database
                  and created_at > now() - :span
                  and kind = 'prune'
                  and state = 'succeeded'
                  and request ->> 'delete' is null
                  and result ->> 'stopped' is null)
