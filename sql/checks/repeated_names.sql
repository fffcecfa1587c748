-- Bad rows: names that stand more than once in the vocabulary.
-- Columns: kind, external, times.
select
    vocabulary.kind,
    vocabulary.external,
    count(*) as times
from read_parquet($vocabulary) as vocabulary
group by vocabulary.kind, vocabulary.external
having count(*) > 1
