"""A few records of every public source as its publisher lays them out: source to file to text."""

import json
from collections.abc import Mapping

FEATURES = ",".join(f"user_feature_{place}" for place in range(4))
RATINGS_DAT = "1::122::5::838985046\n1::185::3::838983525\n2::122::4::838983392\n"
MOVIES_DAT = "122::Boomerang (1992)::Comedy|Romance\n185::Net, The (1995)::Action\n7::Él (1953)::Drama\n"
LISTS = "1 7 8 9\n2 8\n3 9 7\n"
SESSIONS = {"train": "[5, 3, 5]\n[7]\n[3, 9]\n", "test": '{"seq": [4, 2], "target": 9}\n{"seq": [5], "target": 3}\n'}
FACTS = "1\t2\t3\n4\t2\t3\n1\t5\t6\n"
REVIEW = {"reviewerID": "A1", "asin": "780", "overall": 1.0, "unixReviewTime": 1_371_945_600, "reviewText": 'Oily,"\n'}
REVIEW_2023 = {"user_id": "A1", "parent_asin": "780", "rating": 1.0, "timestamp": 1_371_945_600_000, "text": ""}
PRODUCT = {"asin": "780", "title": "Oil", "brand": "Ann", "categories": [["Skin"]], "related": {"also_bought": ["2"]}}
PRODUCT_2023 = {"parent_asin": "780", "title": "Oil", "store": "Bob", "categories": ["Skin"], "bought_together": None}
YELP_REVIEW = {"review_id": "r", "user_id": "u", "business_id": "b", "stars": 4.0, "date": "2018-07-07 22:09:11"}
YELP_BUSINESS = {"business_id": "b", "name": "Inn", "categories": "Bars, Food"}
FEEDBACK = "is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view"
TIME_MS = 1_650_444_367_095
UNICRS = [
    {"text": "hi", "role": "SEEKER", "movie": ["Heat (1995)"]},
    {"text": "so", "role": "RECOMMENDER", "movie": []},
]
REDIAL = {
    "conversationId": "c", "initiatorWorkerId": 1, "respondentWorkerId": 2, "movieMentions": {"12": "Heat (1995)"},
    "messages": [{"text": "@12?", "senderWorkerId": 1}, {"text": "yes", "senderWorkerId": 2}],
}  # fmt: skip
TRIVAGO = (
    "user_id,session_id,timestamp,step,action_type,reference,platform,city,device,current_filters,impressions,prices"
)
CITY = 'FR,"Marseille, France",tablet,'


def lines(*records: object) -> str:
    """JSON lines."""
    return "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)


def renumbered(record: Mapping[str, object], **other: object) -> str:
    """Three records: as it is, with other values, and as it is."""
    return lines(record, {**record, **other}, record)


def open_bandit(policy: str, campaign: str) -> dict[str, str]:
    """A log and its items."""
    log = f",timestamp,item_id,position,click,propensity_score,{FEATURES}\n"
    for row, item in enumerate((14, 27, 3)):
        log += f"{row},2019-11-24 00:00:0{row}.5+00:00,{item},{row + 1},{row % 2},0.0125,81ce,03a5,7ae3,c39b\n"
    items = ",item_id," + ",".join(f"item_feature_{place}" for place in range(4)) + "\n"
    items += "".join(f"{row},{row},-0.5,aed,675,5c1\n" for row in range(3))
    return {f"{policy}/{campaign}/{campaign}.csv": log, f"{policy}/{campaign}/item_context.csv": items}


def sessions(train: str, test: str) -> dict[str, str]:
    """Sessions under these names."""
    return {train: SESSIONS["train"], test: SESSIONS["test"]}


BEAUTY, TOYS = (
    {f"{name}.txt": LISTS, f"{name}_item2attributes.json": '{"7": [1, 2], "8": [2]}\n'}
    for name in ("Beauty", "Toys_and_Games")
)
BEHAVIOURS: dict[str, str] = dict.fromkeys(("buy_train.txt", "buy_test.txt", "cart.txt"), LISTS)
OPEN_BANDIT = {
    f"open-bandit-{policy}-{campaign}": open_bandit(policy, campaign)
    for policy in ("random", "bts")
    for campaign in ("all", "men", "women")
}
INSPIRED = (
    "dialog_id\tutt_id\tspeaker\tturn_id\ttext\tmovies\tgenres\n"
    "a\t1\tRECOMMENDER\t1\tHi\t\t\na\t2\tSEEKER\t1\tBoth\tHeat (1995); Up (2009)\tdrama\n"
    "b\t1\tSEEKER\t1\tx\tUp (2009)\t\n"
)
KUAIRAND_ROWS = "".join(f"7,1{row},{TIME_MS + row},1,0,0,0,0,0,1,1\n" for row in range(3))
SAMPLES: dict[str, dict[str, str]] = {
    "ml-latest": {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,31,0.5,1260759144\n1,2,5,1260759145\n2,31,4,1260759146\n",
        "movies.csv": 'movieId,title,genres\n31,"Net, The (1995)",Action|Crime\n2,Él (1953),Drama\n7,"""X""",Drama\n',
        "links.csv": "movieId,imdbId,tmdbId\n31,0114709,862\n2,0113497,\n",
        "tags.csv": "userId,movieId,tag,timestamp\n1,31,Fun,1260759144\n2,31,dull,1260759145\n",
    },
    "ml-10m": {
        "ratings.dat": RATINGS_DAT, "movies.dat": MOVIES_DAT,
        "tags.dat": "1::122::Fun::838985046\n2::185::x::838985046\n",
    },
    "gowalla-lightgcn": {"train.txt": LISTS, "test.txt": LISTS},
    "amazon-beauty-s3rec": BEAUTY,
    "amazon-toys-s3rec": TOYS,
    "sasrec-ml-1m": {"sasrec_ml-1m.txt": "1 7\n1 8\n2 7\n"},
    "multibehaviour-beibei": BEHAVIOURS,
    "multibehaviour-taobao": BEHAVIOURS,
    "session-diginetica": sessions("train_sessions.jsonl", "test.jsonl"),
    "session-tmall": sessions("train_sessions.jsonl", "test.jsonl"),
    "yoochoose1_64": sessions("yoochoose1_64_train_sessions.jsonl", "yoochoose1_64_test.jsonl"),
    "retailrocket-cotrec": sessions("cotrec_train_sessions.jsonl", "cotrec_test.jsonl"),
    "amazon-beauty-kg": {
        "train_labels.txt": LISTS, "test_labels.txt": LISTS, "also_bought_p_p.txt": "1 2\n2\n0\n",
        "also_viewed_p_p.txt": "11\n2\n0\n", "bought_together_p_p.txt": "2 0\n2\n0\n", "brand_p_b.txt": "10\n1\n1\n",
        "category_p_c.txt": "0 1\n1\n0\n", "product.txt": "B0001\nB0002\nB0003\n",
    },
    "ml-1m-mkr": {
        "ratings.dat": RATINGS_DAT, "movies.dat": MOVIES_DAT, "kg.txt": FACTS,
        "item_index2entity_id.txt": "122\t1\n185\t4\n",
    },
    "ml-1m-dbpedia": {
        "ratings.dat": RATINGS_DAT, "movies.dat": MOVIES_DAT,
        "kg_final.txt": f"entity_head\trelation\tentity_tail\n{FACTS}", "i2kg_map.txt": "pid\teid\n122\t1\n185\t4\n",
    },
    "ml-1m-dbpedia-split": {
        **dict.fromkeys(
            ("train.txt", "valid.txt", "test.txt"), "1\t0\t1\t838985046\n1\t4\t1\t838985047\n2\t0\t1\t838985048\n"
        ),
        "kg_final.txt": f"entity_head\trelation\tentity_tail\n{FACTS}",
        "i2kg_map.txt": "eid\tpid\tname\tentity\n0\t122\tBoomerang\thttp://dbpedia.org/resource/Boomerang\n4\t185\tx\ty\n",
    },
    "retailrocket": {
        "events.csv": (
            "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
            "1433221999827,257597,addtocart,355908,\n1433222276276,3,transaction,356475,4000\n"
        ),
        "item_properties_part1.csv": (
            "timestamp,itemid,property,value\n1435460400000,460429,categoryid,1338\n1441508400000,206783,available,0\n"
            "1441508400000,206783,888,1116713 960601 n277.200\n"
        ),
        "category_tree.csv": "categoryid,parentid\n1016,213\n809,169\n",
    },
    "yoochoose": {
        "yoochoose-clicks.dat": (
            "1,2014-04-07T10:51:09.277Z,214,0\n1,2014-04-07T10:54:09.868Z,215,S\n2,2014-04-07T10:54:46.998Z,214,0\n"
        ),
        "yoochoose-buys.dat": "1,2014-04-07T10:59:09.277Z,214,12462,1\n2,2014-04-07T11:54:09.868Z,215,1046,2\n",
    },
    "session-rec": dict.fromkeys(
        ("yoochoose_train_full.txt", "yoochoose_test.txt"),
        "SessionId\tItemId\tTime\n1\t214\t1396437466.94\n1\t215\t1396437467.94\n2\t214\t1396437468\n",
    ),
    "amazon-reviews": {
        "reviews_Beauty_5.json": renumbered(REVIEW, asin="781", overall=5),
        "meta_Beauty.json": renumbered(PRODUCT, asin="781"),
    },
    "amazon-reviews-2023": {
        "All_Beauty.jsonl": renumbered(REVIEW_2023, parent_asin="781"),
        "meta_All_Beauty.jsonl": renumbered(PRODUCT_2023, parent_asin="781"),
    },
    "amazon-ratings-2014": {
        "ratings_Beauty.csv": "A1,780,1.0,1371945600\nA2,780,5.0,1371945601\nA1,781,3.0,1371945602\n"
    },
    "amazon-ratings-2018": {"Beauty.csv": "780,A1,1.0,1371945600\n780,A2,5.0,1371945601\n781,A1,3.0,1371945602\n"},
    "amazon-ratings-2023": {
        "Beauty.csv": "user_id,parent_asin,rating,timestamp\nA1,780,1.0,1371945600000\nA2,780,5.0,1371945601000\n"
    },
    "amazon-grocery-rechorus": {
        **dict.fromkeys(
            ("train.csv", "dev.csv", "test.csv"),
            "user_id\titem_id\ttime\n1\t7\t1371945600\n1\t8\t1371945601\n2\t7\t1371945602\n",
        ),
        "item_meta.csv": "item_id\ti_category\tr_complement\tr_substitute\n7\t3\t[8, 9]\t[]\n8\t3\t[7]\t[9]\n",
    },
    "yelp": {
        "yelp_academic_dataset_review.json": renumbered(YELP_REVIEW, business_id="c"),
        "yelp_academic_dataset_business.json": renumbered(YELP_BUSINESS, business_id="c", categories=None),
    },
    "kuairand": {
        "log_standard_4_08_to_4_21_pure.csv": f"user_id,video_id,time_ms,{FEEDBACK},is_rand\n{KUAIRAND_ROWS}",
        "log_random_4_22_to_5_08_pure.csv": f"user_id,video_id,time_ms,{FEEDBACK},is_rand\n{KUAIRAND_ROWS}",
        "video_features_basic_pure.csv": 'video_id,author_id,music_id,tag\n10,123,915,"39,7"\n11,124,916,8\n',
    },
    "kuairand-explicit": {
        "log_standard_like_hate_kcore15.tsv": (
            "user_id\tvideo_id\ttime_ms\tis_click\tis_follow\tis_comment\tis_forward\tlong_view\tlabel\n"
            f"7\t10\t{TIME_MS}\t1\t0\t0\t0\t1\t1\n7\t11\t{TIME_MS}\t1\t0\t0\t0\t1\t0\n8\t10\t{TIME_MS}\t0\t0\t0\t0\t0\t1\n"
        )
    },
    "kuairec": {
        **{
            f"{size}_matrix.csv": (
                "user_id,video_id,play_duration,timestamp,watch_ratio\n"
                "14,148,4381,1593878903.438,0.722\n14,183,11635,1593878904,1.907\n15,148,1,1593878905,0\n"
            )
            for size in ("big", "small")
        },
        "item_categories.csv": 'video_id,feat\n148,[8]\n183,"[27, 9]"\n',
        "social_network.csv": 'user_id,friend_list\n14,[15]\n15,"[14, 16]"\n',
    },
    "gowalla": {
        "loc-gowalla_totalCheckins.txt": (
            "0\t2010-10-19T23:55:27Z\t30.23\t-97.79\t22847\n0\t2010-10-18T22:17:43Z\t30.26\t-97.76\t420315\n"
            "1\t2010-10-17T23:42:03Z\t30.25\t-97.76\t316637\n"
        ),
        "loc-gowalla_edges.txt": "0\t1\n1\t0\n0\t2\n",
    },
    "pinterest": dict.fromkeys(
        ("pinterest-20.train.rating", "pinterest-20.test.rating"), "0\t0\t1\t0\n0\t1\t1\t0\n1\t0\t1\t0\n"
    ),
    "ncf-ml-1m": dict.fromkeys(
        ("ml-1m.train.rating", "ml-1m.test.rating"), "0\t32\t4\t978824330\n0\t34\t4\t978824331\n1\t32\t5\t978824332\n"
    ),
    **OPEN_BANDIT,
    "trivago": {
        "train.csv": (
            f"{TRIVAGO}\nu,s,1541599523,1,interaction item image,12,{CITY},,\n"
            f"u,s,1541599523,2,search for item,13,{CITY},,\n"
            f"u,s,1541599523,3,clickout item,12,{CITY},11|12|13,71|107|119\n"
        ),
        "item_metadata.csv": "item_id,properties\n12,Satellite TV|Golf Course\n13,Safe\n",
    },
    "diginetica": {
        "train-item-views.csv": (
            "session_id;user_id;item_id;timeframe;eventdate\n1;NA;81766;526309;2016-05-09\n2;17;31331;0;2016-05-09\n"
            "2;17;81766;5;2016-05-09\n"
        ),
        "train-purchases.csv": (
            "sessionId;userId;timeframe;eventdate;ordernumber;itemId\n150;18278;171;2016-05-09;16421;25911\n"
            "156;NA;17;2016-05-09;21173;35324\n"
        ),
        "product-categories.csv": "itemId;categoryId\n139578;1096\n417975;57\n",
    },
    "inspired": dict.fromkeys(("train.tsv", "dev.tsv", "test.tsv"), INSPIRED),
    "inspired-unicrs": {f"{part}_data.jsonl": lines(UNICRS, UNICRS[:1], UNICRS) for part in ("train", "dev", "test")},
    "redial": {f"{part}_data.jsonl": renumbered(REDIAL, conversationId="d") for part in ("train", "valid", "test")},
}  # fmt: skip
