"""KuaiRand: what was done is told once for each kind of feedback. KuaiRec: what is unknown stays unknown."""

from datetime import UTC, datetime

import polars as pl
import pytest

from tasks.database import connect
from tasks.sources import fetch
from tasks.staging import stage
from tests.staged import staged, told

LOG = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,"
    "play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n"
)
TIME = 1_650_444_367_095
AT = datetime(2022, 4, 20, 8, 46, 7, 95_000, UTC)


def record(flags: str, *, user: str = "7", video: str = "10", time: object = TIME, random: str = "0") -> str:
    """A line of a log; `flags` are the seven of feedback."""
    return f"{user},{video},20220420,1600,{time},{','.join(flags)},1405,170833,0,0,0,{random},1\n"


def test_a_record_is_viewed_and_whatever_its_flags_say(tmp_path):
    names = ("click", "like", "follow", "comment", "forward", "hate", "long_view")
    lines = [record("0000000"), *(record("0" * i + "1" + "0" * (6 - i)) for i in range(7)), record("1111111")]
    (log,) = staged("kuairand", tmp_path, {"log_standard_4_08_to_4_21_pure.csv": LOG + "".join(lines)})
    assert log.counts.read == 9
    assert log.counts.accepted == 9 + 7 + 7
    done = [row[3] for row in told(log)]
    assert done == ["view", *(each for name in names for each in ("view", name)), "view", *names]
    assert told(log)[0] == ("7", "10", None, "view", None, AT)


@pytest.mark.parametrize(
    ("bad", "column", "reason"),
    [
        (record("0000000", user=""), "user_id", "empty"),
        (record("0000000", video=" "), "video_id", "empty"),
        (record("0000000", time="soon"), "time_ms", "not a whole number"),
        (record("0000000", time=TIME // 1000), "time_ms", "these look like seconds: multiply them by 1,000"),
        (record("0000000", time=TIME * 1000), "time_ms", "not between 2000 and 2100"),
        (record("0000000", time="9" * 18), "time_ms", "not between 2000 and 2100"),
        (record("0000000", time="9" * 30), "time_ms", "not a whole number"),
        (record("2000000"), "is_click", "neither 0 nor 1"),
        (record("0 00000"), "is_like", "neither 0 nor 1"),
        (record("00000x0"), "is_hate", "neither 0 nor 1"),
        (record("000000x"), "long_view", "neither 0 nor 1"),
        ("1,2,3\n", None, "3 fields instead of 19"),
    ],
)
def test_a_bad_record_is_rejected_once_by_events(tmp_path, bad, column, reason):
    (log,) = staged("kuairand", tmp_path, {"log_standard.csv": LOG + record("1000000") + bad})
    assert log.rejects == [(3, column, reason)]
    assert (log.counts.rows, log.counts.accepted) == (3, 2)


def test_a_random_log_is_of_slates_too_without_propensities(tmp_path):
    lines = record("1000000", random="1"), record("0000000", random="1", video="11"), record("1000000")
    events, slates = staged("kuairand", tmp_path, {"log_random_4_22_to_5_08.csv": LOG + "".join(lines)})
    assert events.counts.accepted == 5
    assert told(slates) == [
        (f"7-{TIME}-10", "7", AT, 0, "10", 1.0, None, None, "random", "KuaiRand", None),
        (f"7-{TIME}-11", "7", AT, 0, "11", 0.0, None, None, "random", "KuaiRand", None),
    ]
    assert slates.counts.dropped == {"not random": 1}


def test_bad_slates_name_their_column(tmp_path):
    lines = record("x000000", random="1"), record("0000000", random="2"), record("0000000", time=TIME // 1000)
    _, slates = staged("kuairand", tmp_path, {"log_random.csv": LOG + "".join(lines)})
    assert [(line, column) for line, column, _ in slates.rejects] == [(2, "is_click"), (3, "is_rand"), (4, "time_ms")]


def test_videos_have_authors_music_and_tags(tmp_path):
    header = "video_id,author_id,video_type,upload_dt,visible_status,music_id,music_type,tag\n"
    lines = '10,123,NORMAL,2022-04-10,0,915,9,"39,7"\n', "11,,AD,,0,916,9,\n", ",5,NORMAL,,0,7,9,1\n"
    (videos,) = staged("kuairand", tmp_path, {"video_features_basic_pure.csv": header + "".join(lines)})
    assert told(videos) == [
        ("item", "10", "item.author", "entity", "author:123"),
        ("item", "10", "item.music", "entity", "music:915"),
        ("item", "10", "item.tag", "entity", "tag:39"),
        ("item", "10", "item.tag", "entity", "tag:7"),
        ("item", "11", "item.music", "entity", "music:916"),
    ]
    assert videos.counts.dropped == {"unknown": 2}
    assert videos.rejects == [(4, "video_id", "empty")]


def test_a_label_is_liked_or_hated(tmp_path):
    header = "user_id\tvideo_id\ttime_ms\tis_click\tis_follow\tis_comment\tis_forward\tlong_view\tlabel\n"
    lines = (f"7\t1{label}\t{TIME}\t0\t0\t0\t0\t0\t{label}\n" for label in ("1", "0", "2"))
    (log,) = staged("kuairand-explicit", tmp_path, {"log_standard_like_hate_kcore15.tsv": header + "".join(lines)})
    assert [row[1:4:2] for row in told(log)] == [("11", "view"), ("11", "like"), ("10", "view"), ("10", "hate")]
    assert log.rejects == [(4, "label", "neither 0 nor 1")]


MATRIX = "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n"


def test_watches_keep_the_ratio_and_unknown_times(tmp_path):
    lines = (
        "0,3649,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.2733965215790926\n",
        "0,9598,13665,10984,,,,0\n",
        "0,1,1,1,,,1593878903438,1\n",
        "0,1,1,1,,,-5,1\n",
        "0,1,1,1,,,1e300,1\n",
        "0,1,1,1,,,soon,1\n",
        "0,1,1,1,,,,inf\n",
        "0,1,1,1,,,,-0.5\n",
        ",1,1,1,,,,1\n",
    )
    (small,) = staged("kuairec", tmp_path, {"small_matrix.csv": MATRIX + "".join(lines)})
    assert told(small) == [
        ("0", "3649", None, "watch", 1.2733965215790926, datetime(2020, 7, 4, 16, 8, 23, 438_000, UTC)),
        ("0", "9598", None, "watch", 0.0, None),
    ]
    assert small.rejects == [
        (4, "timestamp", "these look like milliseconds: seconds are expected"),
        (5, "timestamp", "not between 2000 and 2100"),
        (6, "timestamp", "not between 2000 and 2100"),
        (7, "timestamp", "not a number"),
        (8, "watch_ratio", "not a finite number"),
        (9, "watch_ratio", "negative"),
        (10, "user_id", "empty"),
    ]


def test_lists_in_a_column_are_categories_and_friends(tmp_path):
    categories, friends = staged(
        "kuairec",
        tmp_path,
        {
            "item_categories.csv": 'video_id,feat\n0,[8]\n1,"[27, 9]"\n2,[]\n3,"[1, 2"\n4,"[1,,2]"\n,[1]\n',
            "social_network.csv": 'user_id,friend_list\n3371,[2975]\n24,"[2665, 7]"\n5,[]\n6,7]\n',
        },
    )
    assert [(row[0], row[3]) for row in told(categories)] == [("0", ["8"]), ("1", ["27", "9"]), ("2", [])]
    assert categories.rejects == [
        (5, "feat", "not a list such as [7, 12]"),
        (6, "feat", "not a list such as [7, 12]"),
        (7, "video_id", "empty"),
    ]
    assert told(friends) == [
        ("user", "3371", "user.friend", "user", "2975"),
        ("user", "24", "user.friend", "user", "2665"),
        ("user", "24", "user.friend", "user", "7"),
    ]
    assert friends.counts.dropped == {"empty list": 1}
    assert friends.rejects == [(5, "friend_list", "not a list such as [7, 12]")]


@pytest.mark.data
def test_the_real_log_has_an_event_for_each_flag(data, tmp_path):
    (feed,) = fetch("kuairand-explicit", data / "kuairand-explicit").feeds
    with connect(tmp_path) as connection:
        counts = stage(feed, tmp_path / "staged", connection).counts
    raw = pl.read_csv(feed.file, separator="\t")
    flags = raw.select("is_click", "is_follow", "is_comment", "is_forward", "long_view").sum().sum_horizontal().item()
    assert counts.read == 41_828
    assert counts.accepted == flags + 2 * 41_828  # viewed, and liked or hated
