-- Which ranges of some files the summaries name. A file is truncated, or made, at a limit: from there on nothing is known
-- of its pages. The same number may be another file's in another tablespace: that only names more.
select b.relfilenode::bigint as filenode,
       case when not b.is_limit_block then b.relblocknumber / f.pages end as number,
       min(b.relblocknumber) filter (where b.is_limit_block) as "limit"
  from unnest(%(starts)s::bigint[], %(ends)s::bigint[]) s (first, behind)
 cross join lateral pg_catalog.pg_wal_summary_contents(
            %(timeline)s::bigint,
            '0/0'::pg_catalog.pg_lsn + s.first::numeric,
            '0/0'::pg_catalog.pg_lsn + s.behind::numeric) b
  join unnest(%(filenodes)s::bigint[], %(pages)s::bigint[]) f (filenode, pages)
    on f.filenode = b.relfilenode::bigint
 where b.reldatabase = %(database_oid)s::pg_catalog.oid
   and b.relforknumber = 0
 group by 1, 2
