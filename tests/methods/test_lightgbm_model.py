"""LightGBM's text is read number by number; the equality of answers is tested in tests/heads/test_trees.py."""

import numpy as np

from trunkline.methods.lightgbm_model import tree_arrays

MODEL = """tree
version=v4
num_class=1
num_tree_per_iteration=1
feature_names=a b

Tree=0
num_leaves=3
num_cat=1
split_feature=0 1
threshold=0.10000000000000001 0
decision_type=10 1
left_child=1 -1
right_child=-3 -2
leaf_value=-0.5 0.25 1e-300
cat_boundaries=0 2
cat_threshold=5 4294967295
shrinkage=1


Tree=1
num_leaves=1
num_cat=0
leaf_value=0.125
shrinkage=1


end of trees

parameters:
[boosting: gbdt]
end of parameters
"""


def test_a_model_is_read_to_the_last_digit() -> None:
    trees = tree_arrays([MODEL])
    np.testing.assert_array_equal(trees.nodes, [2, 0])
    np.testing.assert_array_equal(trees.output, [0, 0])
    np.testing.assert_array_equal(trees.threshold, [0.1, 0])
    np.testing.assert_array_equal(trees.left, [1, -1])
    np.testing.assert_array_equal(trees.leaf, [-0.5, 0.25, 1e-300, 0.125])
    np.testing.assert_array_equal(trees.bits, np.array([5, 2**32 - 1], np.uint32))
    np.testing.assert_array_equal(trees.bounds, [0, 2])


def test_a_second_model_counts_outputs_and_bit_sets_on() -> None:
    trees = tree_arrays([MODEL, MODEL])
    np.testing.assert_array_equal(trees.output, [0, 0, 1, 1])
    np.testing.assert_array_equal(trees.threshold, [0.1, 0, 0.1, 1])
    np.testing.assert_array_equal(trees.bounds, [0, 2, 4])
