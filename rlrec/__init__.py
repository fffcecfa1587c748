"""rlrec: recommender logs to reinforcement-learned policies, judged off-policy before anyone ships them."""
