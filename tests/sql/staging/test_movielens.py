"""MovieLens: every layout of its publisher is typed the same way, and each bad field is rejected with its reason."""

import pytest

from tasks.sources import GENRES, ML_1M, ML_100K
from tasks.sources.catalogue.bundle import Part
from tasks.sources.catalogue.bundles import BUNDLES
from tasks.sources.catalogue.movielens import FlaggedItems, NamedItems, Ratings, Users
from tasks.sources.registry import OCCUPATIONS, RawFile
from tests.sql.staging.lists_support import Understood, staged

FLAGGED = ML_100K.layout("official").items
ITEM = ("item_external", "title", "year", "categories")
POSITIVE = "not a positive whole number"
CSV, DAT = "ml-latest", "ml-10m"


def of(bundle: str, name: str, content, folder) -> Understood:
    """Stage this content as that file of the bundle."""
    part = next(part for part in BUNDLES[bundle].parts if part.name == name)
    assert isinstance(part, Part)
    return staged(part.form, part.statement, content, folder)


def test_csv_ratings_are_half_stars(tmp_path):
    content = "userId,movieId,rating,timestamp\n1,31,0.5,1260759144\n1,31,5,1\n1,2,0.0,1\n1,2,5.5,1\n1,2,3.25,1\n"
    found = of(CSV, "ratings.csv", content, tmp_path)
    assert found.told("user_external", "item_external", "value") == [("1", "31", 0.5), ("1", "31", 5.0)]
    assert found.rejects == [
        (4, "rating", "outside 0.5 to 5"),
        (5, "rating", "outside 0.5 to 5"),
        (6, "rating", "not in steps of 0.5 stars"),
    ]


@pytest.mark.parametrize(
    ("fields", "column", "reason"),
    [
        (("0", "2", "3", "1"), "user", POSITIVE),
        (("1", "x", "3", "1"), "item", POSITIVE),
        (("1", "9" * 20, "3", "1"), "item", POSITIVE),
        (("1", "2", "", "1"), "rating", "not a number"),
        (("1", "2", "nan", "1"), "rating", "not a number"),
        (("1", "2", "inf", "1"), "rating", "outside 1 to 5"),
        (("1", "2", "3.5", "1"), "rating", "not in steps of 1 stars"),
        (("1", "2", "3", "-1"), "timestamp", "before 1970"),
        (("1", "2", "3", "1260759144000"), "timestamp", "after 2100: seconds are expected, not milliseconds"),
        (("1", "2", "3", "today"), "timestamp", "not a whole number of seconds"),
        (("1", "2", "3"), None, "3 fields instead of 4"),
    ],
)
@pytest.mark.parametrize("form", [ML_100K.layout("official").ratings, ML_1M.layout("official").ratings], ids=str)
def test_a_bad_rating_is_rejected(tmp_path, form: RawFile, fields, column, reason):
    lines = [form.separator.join(parts) for parts in (("1", "2", "3", "1"), fields)]
    found = staged(form, Ratings(), "\n".join(lines), tmp_path)
    assert (found.rows["line"].to_list(), found.rejects) == ([1], [(2, column, reason)])


def test_titles_end_in_their_year_in_every_layout(tmp_path):
    atomic = ML_100K.layout("atomic").items
    movies_csv = (
        "movieId,title,genres\n"
        '1,"American President, The (1995)",Comedy|Drama\n'
        "2,Él (1953) (V),(no genres listed)\n3,Untitled ,\n"
        '4,"""Great"" (2001)",Drama\n0,X (1999),Drama\n'
    )
    csv = of(CSV, "movies.csv", movies_csv, tmp_path)
    assert csv.told(*ITEM) == [
        ("1", "American President, The", 1995, ["Comedy", "Drama"]),
        ("2", "Él", 1953, []),
        ("3", "Untitled", None, []),
        ("4", '"Great"', 2001, ["Drama"]),
    ]
    assert csv.rejects == [(6, "item", POSITIVE)]
    dat = "1::Seven (a.k.a. Se7en) (1995)::Crime|Thriller\n2::Él (1953)::(no genres listed)\n"
    assert of(DAT, "movies.dat", dat, tmp_path).told(*ITEM) == [
        ("1", "Seven (a.k.a. Se7en)", 1995, ["Crime", "Thriller"]),
        ("2", "Él", 1953, []),
    ]
    latin = staged(ML_1M.layout("official").items, NamedItems(), "7::Él (1953)::Drama\n", tmp_path)
    assert latin.told(*ITEM) == [("7", "Él", 1953, ["Drama"])]
    header = "\t".join(atomic.columns)
    separated = staged(
        atomic, NamedItems(genre_separator=" "), f"{header}\n7\tÉl\t1953\tDrama War\n8\tHeat (1995)\tV\t\n", tmp_path
    )
    assert separated.told(*ITEM) == [("7", "Él", 1953, ["Drama", "War"]), ("8", "Heat", 1995, [])]


def test_flags_are_genres_in_their_order(tmp_path):
    def line(item: str, title: str, *genres: str, mark: str = "1") -> str:
        return "|".join([item, title, "", "", "", *(mark if name in genres else "0" for name in GENRES)])

    content = "\n".join(
        [line("1", "Él (1953)", "War", "Children's"), line("2", "unknown", "unknown"), line("x", "X", "War"),
         line("3", "Y", "War", mark="2"), line("4", "Z")[:-2]]
    )  # fmt: skip
    found = staged(FLAGGED, FlaggedItems(genres=GENRES), content, tmp_path)
    assert found.told(*ITEM) == [("1", "Él", 1953, ["Children's", "War"]), ("2", "unknown", None, ["unknown"])]
    assert found.rejects == [
        (3, "item", POSITIVE),
        (4, "genre", "a genre flag is neither 0 nor 1"),
        (5, None, "23 fields instead of 24"),
    ]


def test_links_are_identifiers_as_written(tmp_path):
    content = "movieId,imdbId,tmdbId\n01,0114709,862\n2,0113497,\n3,,5\n4,tt1,7\n0,1,2\n"
    found = of(CSV, "links.csv", content, tmp_path)
    assert found.told("item_external", "authority", "identifier") == [
        ("1", "imdb", "0114709"),
        ("1", "tmdb", "862"),
        ("2", "imdb", "0113497"),
        ("3", "tmdb", "5"),
        ("4", "tmdb", "7"),
    ]
    assert found.counts.dropped == {"no imdb id": 1, "no tmdb id": 1}
    assert found.rejects == [(5, "imdbId", "not a whole number"), (6, "item", POSITIVE), (6, "item", POSITIVE)]


@pytest.mark.parametrize(("bundle", "name", "between"), [(CSV, "tags.csv", ","), (DAT, "tags.dat", "::")])
def test_tags_are_facts_whatever_their_case(tmp_path, bundle, name, between):
    records = [
        ("2", "060756", " Highly Quotable ", "1445714996"),
        ("2", "7", "ÄRGER", "1"),
        ("0", "7", "x", "1"),
        ("2", "seven", "x", "1"),
        ("2", "7", "  ", "1"),
        ("2", "7", "x", "1445714996000"),
        ("2", "7", "x", "1.5"),
        ("2", "7", "x"),
    ]
    lines = [*(["userId,movieId,tag,timestamp"] if bundle == CSV else []), *(between.join(one) for one in records)]
    found = of(bundle, name, "\n".join(lines), tmp_path)
    assert found.told("head_kind", "head_external", "relation", "tail_kind", "tail_external") == [
        ("item", "60756", "item.tag", "entity", "tag:highly quotable"),
        ("item", "7", "item.tag", "entity", "tag:ärger"),
    ]
    assert [(line - len(lines) + len(records), *rest) for line, *rest in found.rejects] == [
        (3, "user", POSITIVE),
        (4, "item", POSITIVE),
        (5, "tag", "empty"),
        (6, "timestamp", "after 2100: seconds are expected, not milliseconds"),
        (7, "timestamp", "not a whole number of seconds"),
        (8, None, "3 fields instead of 4"),
    ]


def test_a_tag_may_hold_the_separator_and_line_ends_in_quotes(tmp_path):
    content = 'userId,movieId,tag,timestamp\n1,2,"a, ""b""\nc",1\n1,3,d,1\n'
    found = of(CSV, "tags.csv", content, tmp_path)
    assert found.told("line", "tail_external") == [(2, 'tag:a, "b"\nc'), (4, "tag:d")]
    assert found.counts.continued == 1


@pytest.mark.data
def test_published_files_have_their_rows(data, tmp_path):
    small = data / "ml-latest-small"
    found = {part.name: of(CSV, part.name, small / f"{part.name}.gz", tmp_path) for part in BUNDLES[CSV].parts}
    accepted = {name: one.counts.accepted for name, one in found.items()}
    assert accepted == {
        "ratings.csv": 100_836, "movies.csv": 9_742, "links.csv": 2 * 9_742 - 8, "tags.csv": 3_683,
    }  # fmt: skip
    assert found["ratings.csv"].rows["user_external"].n_unique() == 610
    assert found["ratings.csv"].rows["value"].min() == 0.5
    assert all(not one.rejects for one in found.values())
    flagged = staged(FLAGGED, FlaggedItems(genres=GENRES), data / "ml-100k" / "u.item", tmp_path, most=0.0)
    assert (flagged.counts.accepted, flagged.rows["year"].null_count()) == (1_682, 1)
    named = staged(ML_1M.layout("official").items, NamedItems(), data / "ml-1m" / "movies.dat", tmp_path, most=0.0)
    assert (named.counts.accepted, named.rows["year"].null_count()) == (3_883, 0)


@pytest.mark.data
@pytest.mark.parametrize(
    ("dataset", "file", "rows", "users", "items"),
    [(ML_100K, "u.data", 100_000, 943, 1_682), (ML_1M, "ratings.dat", 1_000_209, 6_040, 3_706)],
    ids=["100k", "1m"],
)
def test_published_ratings_are_read_whole(data, tmp_path, dataset, file, rows, users, items):
    form = dataset.layout("official").ratings
    found = staged(form, Ratings(), data / dataset.name / f"{file}.gz", tmp_path, most=0.0)
    assert (found.counts.lines, found.counts.accepted) == (rows, rows)
    assert (found.rows["user_external"].n_unique(), found.rows["item_external"].n_unique()) == (users, items)


def demographics(form: RawFile, content, folder, occupations: tuple[str, ...] = ()) -> Understood:
    """Stage this file of users."""
    return staged(form, Users(occupations=occupations), content, folder)


def test_users_are_told_alike_in_every_layout(tmp_path):
    official, atomic = (ML_100K.layout(name) for name in ("official", "atomic"))
    header = "\t".join(atomic.users.columns)
    words = demographics(official.users, "7|24|M|technician|E2A4H\n", tmp_path)
    assert words.told("head_kind", "head_external", "relation", "tail_kind", "tail_external") == [
        ("user", "7", "user.gender", "entity", "gender:M"),
        ("user", "7", "user.age", "entity", "age:24"),
        ("user", "7", "user.occupation", "entity", "occupation:technician"),
        ("user", "7", "user.zip", "entity", "zip:E2A4H"),
    ]
    again = demographics(atomic.users, f"{header}\n7\t24\tM\ttechnician\tE2A4H\n", tmp_path)
    assert again.told("relation", "tail_external") == words.told("relation", "tail_external")
    numbers = demographics(ML_1M.layout("official").users, "7::F::1::12::02139-1\n", tmp_path, OCCUPATIONS)
    assert numbers.told("tail_external") == [("gender:F",), ("age:1",), ("occupation:programmer",), ("zip:02139-1",)]


def test_a_bad_user_is_rejected_once(tmp_path):
    bad = {
        "0::F::1::10::48067": ("user", POSITIVE), "1::X::1::10::48067": ("gender", "neither M nor F"),
        "1::F::0::10::48067": ("age", POSITIVE), "1::F::1::21::48067": ("occupation", "not an occupation"),
        "1::F::1::-1::48067": ("occupation", "not an occupation"), "1::F::1::10:: ": ("zip code", "empty"),
        "1::F::1::10": (None, "4 fields instead of 5"),
    }  # fmt: skip
    found = demographics(ML_1M.layout("official").users, "\n".join(bad), tmp_path, OCCUPATIONS)
    assert found.counts.accepted == 0
    assert found.rejects == [(line, *why) for line, why in enumerate(bad.values(), 1)]


@pytest.mark.data
@pytest.mark.parametrize(("dataset", "users"), [(ML_100K, 943), (ML_1M, 6_040)], ids=["100k", "1m"])
def test_every_user_of_the_real_files_is_told_of(data, tmp_path, dataset, users):
    layout = dataset.layout("official")
    found = demographics(layout.users, data / dataset.name / layout.users.name, tmp_path, layout.occupations)
    assert (found.counts.read, found.counts.accepted, found.rejects) == (users, 4 * users, [])
