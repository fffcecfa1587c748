-- Grain: one row per gender, age, occupation and zip code of a user of MovieLens (u.user, users.dat, .user), the staged
-- table triples; one row per bad record.
-- Columns: sql/staging/README.md. Occupations are words, or numbers of $occupations, counted from 0. ML-1M tells an age
-- as the least of its bracket.
with parsed as (
    select
        line,
        fault,
        case when regexp_full_match(trim(user_id), '[0-9]{1,18}') then trim(user_id)::bigint end as user_number,
        trim(gender) as gender,
        case when regexp_full_match(trim(age), '[0-9]{1,3}') then trim(age)::integer end as years,
        case
            when len($occupations) = 0 then nullif(trim(occupation), '')
            when regexp_full_match(trim(occupation), '[0-9]{1,3}') then $occupations[trim(occupation)::integer + 1]
        end as work,
        trim(zip_code) as zip
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when coalesce(user_number, 0) = 0 then 'user'
            when gender not in ('M', 'F') then 'gender'
            when coalesce(years, 0) = 0 then 'age'
            when work is null then 'occupation'
            when zip = '' then 'zip code'
        end as rejected_column
    from parsed
),

known as (
    select
        *,
        fault is null and rejected_column is null as usable
    from judged
),

told as (
    select
        * exclude (gender, years, work, zip, usable),
        unnest(case when usable then ['gender', 'age', 'occupation', 'zip'] else [null] end) as name,
        unnest(case when usable then [gender, years::varchar, work, zip] else [null] end) as fact
    from known
)

select
    line,
    'user' as head_kind,
    user_number::varchar as head_external,
    'user.' || name as relation,
    'entity' as tail_kind,
    name || ':' || fact as tail_external,
    null::timestamptz as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column in ('user', 'age') then 'not a positive whole number'
        when rejected_column = 'gender' then 'neither M nor F'
        when rejected_column = 'occupation' then 'not an occupation'
        when rejected_column is not null then 'empty'
    end as reason,
    null::varchar as filter
from told
